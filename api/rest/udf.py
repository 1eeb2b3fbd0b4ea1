"""Markets and candles in the words of TradingView's charting library (UDF)."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from chaintide.api.state.catalogue import MarketEntry
from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.records import Candle

RESOLUTIONS: Final[dict[str, Interval]] = {
    "1": "1m",
    "5": "5m",
    "15": "15m",
    "60": "1h",
    "240": "4h",
    "1D": "1d",
    "1W": "1w",
}
_ALIASES: Final = {"D": "1D", "W": "1W"}
MAX_BARS: Final = 5_000
Bar = tuple[int, str, str, str, str, str]


def interval_of(resolution: str) -> Interval | None:
    """Return the interval of ``resolution``, or None if there is none.

    >>> interval_of("60"), interval_of("D"), interval_of("7")
    ('1h', '1d', None)
    """
    return RESOLUTIONS.get(_ALIASES.get(resolution, resolution))


def config(venues: Iterable[str]) -> dict[str, Any]:
    """Return what this server can do."""
    return {
        "supported_resolutions": list(RESOLUTIONS),
        "supports_group_request": False,
        "supports_marks": False,
        "supports_search": True,
        "supports_timescale_marks": False,
        "supports_time": True,
        "exchanges": [
            {"value": "", "name": "All", "desc": ""},
            *({"value": venue, "name": venue, "desc": venue} for venue in sorted(set(venues))),
        ],
        "symbols_types": [{"name": "All", "value": ""}, {"name": "crypto", "value": "crypto"}],
    }


def symbol(entry: MarketEntry) -> dict[str, Any]:
    """Return what the library must know of a market to draw it."""
    return {
        "name": entry.symbol,
        "ticker": entry.market,
        "description": f"{entry.base} / {entry.quote}" if entry.base else entry.symbol,
        "type": "crypto",
        "session": "24x7",
        "timezone": "Etc/UTC",
        "exchange": entry.venue,
        "listed_exchange": entry.venue,
        "format": "price",
        "minmov": 1,
        "pricescale": 10 ** min(entry.price_scale, 16),
        "has_intraday": True,
        "has_daily": True,
        "has_weekly_and_monthly": True,
        "intraday_multipliers": ["1", "5", "15", "60", "240"],
        "supported_resolutions": list(RESOLUTIONS),
        "volume_precision": min(entry.size_scale, 16),
        "data_status": "streaming",
    }


def found(
    entries: Iterable[MarketEntry], text: str, venue: str, limit: int
) -> list[dict[str, Any]]:
    """Return the traded markets whose name holds ``text``, in any case."""
    wanted = text.casefold()
    matches = [
        entry
        for entry in entries
        if entry.basis == "trades"
        and wanted in entry.market.casefold()
        and venue in {"", entry.venue}
    ]
    return [
        {
            "symbol": entry.symbol,
            "full_name": entry.market,
            "description": symbol(entry)["description"],
            "exchange": entry.venue,
            "ticker": entry.market,
            "type": "crypto",
        }
        for entry in matches[:limit]
    ]


def bars(candles: Sequence[Candle], interval: Interval) -> list[Bar]:
    """Return (second, open, high, low, close, volume) of each candle, and flat bars in holes.

    At most the newest 5,000.
    """
    width_s = WIDTH_MS[interval] // 1000
    drawn = [_bar(candle) for candle in candles[:1]]
    for before, candle in pairwise(candles):
        first_s, end_s = before.close_time_ms // 1000, candle.open_time_ms // 1000
        first_s = max(first_s, end_s - MAX_BARS * width_s)
        flat = (before.close,) * 4
        drawn += [(time_s, *flat, "0") for time_s in range(first_s, end_s, width_s)]
        drawn.append(_bar(candle))
    return drawn[-MAX_BARS:]


def history(drawn: Sequence[Bar]) -> dict[str, Any]:
    """Return bars column by column; numbers are written digit for digit."""
    columns = list(zip(*drawn, strict=True))
    answer: dict[str, Any] = {"s": "ok", "t": list(columns[0])}
    for name, column in zip("ohlcv", columns[1:], strict=True):
        answer[name] = [msgspec.Raw(str(number).encode()) for number in column]
    return answer


def no_data(before: Candle | None) -> dict[str, Any]:
    """Return that there is nothing, and when the last bar before it was."""
    answer: dict[str, Any] = {"s": "no_data"}
    return answer if before is None else answer | {"nextTime": before.open_time_ms // 1000}


def _bar(candle: Candle) -> Bar:
    time_s = candle.open_time_ms // 1000
    return (time_s, candle.open, candle.high, candle.low, candle.close, candle.volume)
