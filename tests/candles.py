"""Candles to test with."""

from typing import Any

from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Candle, CandleBatch, Gap, Market

MARKET = Market("kraken:BTC-USDT")


def candle(minute: int = 0, *, market: str = MARKET, **changes: Any) -> Candle:
    """Return a closed one-minute candle, with ``changes``."""
    fields: dict[str, Any] = {
        "market": market,
        "interval": "1m",
        "open_time_ms": minute * MINUTE_MS,
        "close_time_ms": (minute + 1) * MINUTE_MS,
        "open": "64000.10",
        "high": "64000.123456789012345678",
        "low": "63999",
        "close": "64000.00",
        "volume": "0.30000000000000000004",
        "quote_volume": "19200.000000000000000001",
        "vwap": "64000.0",
        "taker_buy_volume": "0",
        "trades": 3,
        "first_trade_id": 2**62 + 1,
        "last_trade_id": 2**62 + 3,
        "status": "closed",
        "revision": 1,
        "complete": True,
        "fill": "traded",
        "updated_ms": (minute + 1) * MINUTE_MS + 2_000,
    }
    return Candle(**(fields | changes))


def batch(*candles: Candle, generation: int = 1, offset: int = 0, **changes: Any) -> CandleBatch:
    """Return ``candles`` as the batch of their market."""
    market = candles[0].market if candles else MARKET
    fields = {"market": market, "candles": list(candles)} | changes
    return CandleBatch(generation=generation, offset=offset, **fields)


def gap(from_us: int = 0, *, market: str = MARKET, **changes: Any) -> Gap:
    """Return a gap of one second, with ``changes``."""
    fields = {"to_us": from_us + 1_000_000, "reason": "disconnected"} | changes
    return Gap(market=Market(market), from_us=from_us, **fields)
