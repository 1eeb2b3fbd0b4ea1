"""A plain recompute of candles from a list of trades: slow, short, and written another way."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

from chaintide.agents import bars
from chaintide.streams.intervals import INTERVALS


@dataclass(frozen=True)
class PlainTrade:
    id: int
    time_us: int
    price: Decimal
    size: Decimal
    side: str
    trader: str = ""


def window_open(time_us: int, interval: str) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    floor = moment.replace(second=0, microsecond=0)
    match interval:
        case "1m" | "5m" | "15m":
            floor = floor.replace(minute=floor.minute - floor.minute % int(interval[:-1]))
        case "1h" | "4h":
            floor = floor.replace(minute=0, hour=floor.hour - floor.hour % int(interval[:-1]))
        case "1d":
            floor = floor.replace(minute=0, hour=0)
        case _:
            floor = floor.replace(minute=0, hour=0) - timedelta(days=floor.weekday())
    return int(floor.timestamp()) * 1000


def plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def traders(names: set[str]) -> tuple[int | None, bool]:
    if "" in names:
        return None, False
    return min(len(names), bars.MAX_TRADERS), len(names) > bars.MAX_TRADERS


def recompute(trades: list[PlainTrade]) -> dict[tuple[str, int], tuple[object, ...]]:
    """Return (open, high, low, close, volume, quote, buys, count, first id, last id) by window.

    Then how many traded, and whether there were more; the first is None if one is not named.
    """
    unique = sorted({trade.id: trade for trade in trades}.values(), key=lambda t: (t.time_us, t.id))
    windows: dict[tuple[str, int], list[PlainTrade]] = defaultdict(list)
    for trade in unique:
        for interval in INTERVALS:
            windows[interval, window_open(trade.time_us, interval)].append(trade)
    with localcontext() as context:
        context.prec = 200
        return {
            window: (
                plain(inside[0].price),
                plain(max(t.price for t in inside)),
                plain(min(t.price for t in inside)),
                plain(inside[-1].price),
                plain(sum((t.size for t in inside), Decimal())),
                plain(sum((t.size * t.price for t in inside), Decimal())),
                plain(sum((t.size for t in inside if t.side == "b"), Decimal())),
                len(inside),
                inside[0].id,
                inside[-1].id,
                *traders({trade.trader for trade in inside}),
            )
            for window, inside in windows.items()
        }
