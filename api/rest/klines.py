"""Candles as Binance's ``GET /api/v3/klines`` answers them, in its words and with its errors."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from chaintide.streams.intervals import Interval
from chaintide.streams.records import Candle, Market

PARAMETERS: Final = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
INTERVALS: Final = frozenset(get_args(Interval))
DEFAULT_LIMIT: Final = 500
MAX_LIMIT: Final = 1_000
_MAX_MS: Final = 253_402_300_799_999


class KlineError(Exception):
    """What Binance would refuse; ``code`` is its number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class KlineQuery:
    """Which candles; ``end_ms`` is exclusive, as everywhere else here."""

    symbol: str
    interval: str
    start_ms: int | None
    end_ms: int | None
    limit: int


def query_of(parameters: Mapping[str, str]) -> KlineQuery:
    """Return what ``parameters`` ask for.

    >>> query_of({"symbol": "BTCUSDT", "interval": "1m", "endTime": "9"}).end_ms
    10

    Raises:
        KlineError: If Binance would refuse them.
    """
    if strangers := sorted(parameters.keys() - set(PARAMETERS)):
        read = len(parameters) - len(strangers)
        text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent"
        raise KlineError(-1104, f"{text} '{len(parameters)}': {', '.join(strangers)}.")
    for name in ("symbol", "interval"):
        if not parameters.get(name):
            text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            raise KlineError(-1102, text)
    if parameters["interval"] not in INTERVALS:
        raise KlineError(-1120, "Invalid interval.")
    if parameters.get("timeZone", "0") not in {"0", "0:00", "00:00"}:
        raise KlineError(-1130, "Data sent for parameter 'timeZone' is not valid: only 0.")
    start_ms, end_ms = _number(parameters, "startTime"), _number(parameters, "endTime")
    limit = _number(parameters, "limit")
    if limit == 0:
        raise KlineError(-1130, "Data sent for parameter 'limit' is not valid.")
    return KlineQuery(
        symbol=parameters["symbol"],
        interval=parameters["interval"],
        start_ms=start_ms,
        end_ms=None if end_ms is None else end_ms + 1,
        limit=min(DEFAULT_LIMIT if limit is None else limit, MAX_LIMIT),
    )


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) <= _MAX_MS):
        raise KlineError(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def market_of(symbol: str, markets: Collection[Market]) -> Market:
    """Return the market that ``symbol`` names: ``venue:BASE-QUOTE``, or Binance's ``BASEQUOTE``.

    >>> market_of("BTCUSDT", [Market("kraken:BTC-USDT"), Market("binance:BTC-USDT")])
    'binance:BTC-USDT'

    Raises:
        KlineError: If there is none, or several venues have it and Binance has not.
    """
    if symbol in markets:
        return Market(symbol)
    named = [m for m in markets if m.partition(":")[2].replace("-", "") == symbol]
    chosen = [m for m in named if m.startswith("binance:")] or named
    if len(chosen) != 1:
        raise KlineError(-1121, "Invalid symbol.")
    return chosen[0]


def row(candle: Candle) -> list[int | str]:
    """Return one candle as Binance writes it, with the last millisecond as close time.

    How much of the quote volume takers bought is not kept: that column is always 0.
    """
    return [
        candle.open_time_ms,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.close_time_ms - 1,
        candle.quote_volume,
        candle.trades,
        candle.taker_buy_volume,
        "0",
        "0",
    ]
