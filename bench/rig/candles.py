"""A candle as stores hold many, and one whose minute is over."""

import msgspec

from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Candle, Market

FIRST = Candle(
    market=Market("kraken:BTC-USDT"),
    interval="1m",
    open_time_ms=1_700_000_000_000 // 60_000 * 60_000,
    close_time_ms=0,
    open="64000.10",
    high="64010.00",
    low="63990.25",
    close="64000.00",
    volume="12.34567890",
    quote_volume="790123.4567890123",
    vwap="64000.123456789012",
    taker_buy_volume="6.1",
    trades=321,
    first_trade_id=1_000_000,
    last_trade_id=1_000_321,
    status="closed",
    revision=1,
    complete=True,
    fill="traded",
    updated_ms=1_700_000_062_000,
)


def closed(market: Market, opened_ms: int, price: float) -> Candle:
    """Return a minute of ``market`` at one price."""
    return msgspec.structs.replace(
        FIRST,
        market=market,
        open_time_ms=opened_ms,
        close_time_ms=opened_ms + MINUTE_MS,
        updated_ms=opened_ms + MINUTE_MS,
        **dict.fromkeys(("open", "high", "low", "close", "vwap"), f"{price:.4f}"),
    )
