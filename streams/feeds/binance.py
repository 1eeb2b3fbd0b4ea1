"""Binance: the ``@trade`` streams and REST ``historicalTrades``.

Trade ids count up by one per symbol. Aggregate trades are numbered differently and hold
several executions, so they are not read. The venue closes every socket after 24 hours.
"""

from typing import Final

import msgspec

from chaintide.streams import decimals
from chaintide.streams.feeds import payload as wire
from chaintide.streams.feeds.adapter import (
    Ack,
    Mark,
    Page,
    Refusal,
    Request,
    Venue,
    VenueMessage,
    VenueTrade,
    assets,
)
from chaintide.streams.records import Market

VENUE: Final = Venue(
    name="binance",
    ws_url="wss://stream.binance.com:9443/ws",
    rest_url="https://api.binance.com",
    rest_per_minute=200,
    has_heartbeats=False,
    max_age_s=23.5 * 3600,
)
_PAGE: Final = 1000


class _Error(msgspec.Struct):
    msg: str = ""


class _Message(msgspec.Struct):
    event: str = msgspec.field(name="e", default="")
    error: _Error | None = None
    id: int | str | None = None


class _Trade(msgspec.Struct):
    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    size: str = msgspec.field(name="q")
    time_ms: int = msgspec.field(name="T")
    is_buyer_maker: bool = msgspec.field(name="m")


class _Row(msgspec.Struct, rename="camel"):
    id: int
    price: str
    qty: str
    time: int
    is_buyer_maker: bool


_messages: Final = msgspec.json.Decoder(_Message)
_trades: Final = msgspec.json.Decoder(_Trade)
_rows: Final = msgspec.json.Decoder(list[_Row])


class Binance:
    """The adapter of Binance's spot markets."""

    venue: Venue = VENUE

    def symbol(self, market: Market) -> str:
        """Return the venue's name of ``market``.

        >>> Binance().symbol(Market("binance:BTC-USDT"))
        'BTCUSDT'
        """
        return "".join(assets(market))

    def subscribe(self, markets: list[Market]) -> list[str]:
        """Return one request for all markets, acknowledged as a whole."""
        streams = [f"{self.symbol(market).lower()}@trade" for market in markets]
        message = {"method": "SUBSCRIBE", "params": streams, "id": 1}
        return [msgspec.json.encode(message).decode()]

    def parse(self, payload: bytes) -> list[VenueMessage]:
        """Return the trade, acknowledgement or refusal in one message."""
        message = wire.decode(_messages, payload)
        if message.event == "trade":
            return [_live_trade(wire.decode(_trades, payload))]
        if message.error is not None:
            return [Refusal(message.error.msg)]
        return [] if message.id is None else [Ack(None)]

    def backfill_request(self, market: Market, after: Mark) -> Request:
        """Return the request for the trades from the id after ``after`` on."""
        params = {"symbol": self.symbol(market), "fromId": str(after.id + 1), "limit": str(_PAGE)}
        return Request("/api/v3/historicalTrades", params)

    def parse_backfill(self, market: Market, payload: bytes) -> Page:
        """Return the page in an answer of ``historicalTrades``."""
        symbol = self.symbol(market)
        trades = [
            VenueTrade(
                symbol=symbol,
                id=row.id,
                time_us=row.time * 1000,
                price=decimals.parse(row.price),
                size=decimals.parse(row.qty),
                side="s" if row.is_buyer_maker else "b",
            )
            for row in wire.decode(_rows, payload)
        ]
        return Page(trades, is_full=len(trades) >= _PAGE)


def _live_trade(trade: _Trade) -> VenueTrade:
    return VenueTrade(
        symbol=trade.symbol,
        id=trade.trade_id,
        time_us=trade.time_ms * 1000,
        price=decimals.parse(trade.price),
        size=decimals.parse(trade.size),
        side="s" if trade.is_buyer_maker else "b",
    )
