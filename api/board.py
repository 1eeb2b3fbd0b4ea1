"""The table of markets that a terminal shows while everything runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.table import Table

from chaintide.api.words import brief, counted
from chaintide.sinks.candle_store import CandleStore
from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.records import Candle, Market

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 30


@dataclass(frozen=True, slots=True)
class MarketLine:
    """One market: what it is called, its latest candles, oldest first, and the running day."""

    name: str
    candles: Sequence[Candle]
    day: Candle | None


async def lines(
    store: CandleStore,
    interval: Interval,
    names: Mapping[Market, str],
    hidden: Collection[str] = (),
) -> list[MarketLine]:
    """Return the markets in ``store``, under their ``names``, with their latest candles.

    Those of ``hidden`` venues are left out.
    """
    found = []
    shown = (one for one in await store.markets() if one.partition(":")[0] not in hidden)
    for market in shown:
        candles = await store.candles(market, interval, limit=SHOWN)
        days = await store.candles(market, "1d", limit=1)
        found.append(MarketLine(names.get(market, market), candles, days[-1] if days else None))
    return found


def sparkline(prices: Sequence[Decimal]) -> str:
    """Return prices as a row of bars.

    >>> sparkline([Decimal(1), Decimal(3), Decimal(2)])
    '▁█▄'
    """
    low, high = min(prices), max(prices)
    span = (high - low) or Decimal(1)
    return "".join(BARS[int((price - low) / span * (len(BARS) - 1))] for price in prices)


def board(markets: Sequence[MarketLine], interval: Interval, *, now_ms: int) -> Table:
    """Return the table: price, change over what is shown, the open candle, the day."""
    table = Table(title=f"Chaintide: {interval} candles as stored", expand=False)
    for name in ("market", "last", "change", f"closes ({interval})", "open candle", "volume"):
        table.add_column(name, justify="left" if name == "market" else "right", no_wrap=True)
    for name in ("trades", "day: trades", "day: volume", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in markets:
        if line.candles:
            table.add_row(*_cells(line, interval, now_ms))
    return table


def _cells(line: MarketLine, interval: Interval, now_ms: int) -> list[str]:
    last = line.candles[-1]
    closes = [Decimal(candle.close) for candle in line.candles]
    change = (closes[-1] / Decimal(line.candles[0].open) - 1) * 100
    color = "green" if change >= 0 else "red"
    done = min(max((now_ms - last.open_time_ms) / WIDTH_MS[interval], 0), 1)
    meter = "●" * round(done * 6) + "○" * (6 - round(done * 6))
    day = line.day
    return [
        line.name,
        brief(last.close),
        f"[{color}]{change:+.2f} %[/]",
        f"[{color}]{sparkline(closes)}[/]",
        f"{meter} {last.status}",
        brief(last.volume),
        str(last.trades),
        "" if day is None else f"{day.trades:,}",
        "" if day is None else f"{Decimal(day.volume):.4f}",
        f"{max(now_ms - last.updated_ms, 0) / 1000:.1f} s" if last.updated_ms else "",
    ]


def plain(markets: Sequence[MarketLine]) -> str:
    """Return one line of text for terminals that cannot be redrawn."""
    parts = [
        f"{line.name} {brief(line.candles[-1].close)} ({counted(line.candles[-1].trades, 'trade')})"
        for line in markets
        if line.candles
    ]
    return " · ".join(parts) or "waiting for the first candle"
