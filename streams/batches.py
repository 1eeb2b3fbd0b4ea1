"""Trades of one market as the columns of a batch."""

from collections.abc import Sequence
from typing import Protocol

from chaintide.streams import decimals
from chaintide.streams.records import Market, TradeBatch


class TradeRow(Protocol):
    """One trade; price and size are ``(n, scale)``, side is as in ``TradeBatch.sides``."""

    @property
    def id(self) -> int: ...  # noqa: D102
    @property
    def time_us(self) -> int: ...  # noqa: D102
    @property
    def price(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def side(self) -> str: ...  # noqa: D102


def batch_of(market: Market, trades: Sequence[TradeRow], *, now_ms: int = 0) -> TradeBatch:
    """Return ``trades`` column by column, in their order, at common scales."""
    prices, price_scale = decimals.align([trade.price for trade in trades])
    sizes, size_scale = decimals.align([trade.size for trade in trades])
    return TradeBatch(
        market=market,
        price_scale=price_scale,
        size_scale=size_scale,
        ids=[trade.id for trade in trades],
        times_us=[trade.time_us for trade in trades],
        prices=prices,
        sizes=sizes,
        sides="".join([trade.side for trade in trades]),
        ingest_time_ms=now_ms,
    )
