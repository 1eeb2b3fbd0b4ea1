"""Coinbase: the classic ``matches`` channel, Advanced Trade's ``market_trades``, and REST.

All three number trades alike, one by one per product, and all three give the side of the
maker: the taker was on the other. On subscribing the venue repeats the last trade or trades.
"""

from typing import Final

import msgspec

from chaintide.streams import decimals
from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds import payload as wire
from chaintide.streams.feeds.adapter import (
    Ack,
    Mark,
    Page,
    Refusal,
    Request,
    TakerSide,
    Venue,
    VenueMessage,
    VenueTrade,
    assets,
)
from chaintide.streams.records import Market

_REST_URL: Final = "https://api.exchange.coinbase.com"
CLASSIC: Final = Venue(
    name="coinbase",
    ws_url="wss://ws-feed.exchange.coinbase.com",
    rest_url=_REST_URL,
    rest_per_minute=300,
)
ADVANCED: Final = Venue(
    name="coinbase",
    ws_url="wss://advanced-trade-ws.coinbase.com",
    rest_url=_REST_URL,
    rest_per_minute=300,
)
_PAGE: Final = 1000
_TAKER: Final[dict[str, TakerSide]] = {"buy": "s", "sell": "b"}


class _Message(msgspec.Struct):
    type: str = ""
    channel: str = ""
    message: str = ""
    reason: str = ""


class _Trade(msgspec.Struct):
    trade_id: int | str
    price: str
    size: str
    side: str
    time: str
    product_id: str = ""


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str]


class _Subscriptions(msgspec.Struct):
    channels: list[_Channel]


class _AdvancedEvent(msgspec.Struct):
    trades: list[_Trade] = []
    subscriptions: dict[str, list[str]] = {}


class _AdvancedMessage(msgspec.Struct):
    events: list[_AdvancedEvent]


_messages: Final = msgspec.json.Decoder(_Message)
_matches: Final = msgspec.json.Decoder(_Trade)
_subscriptions: Final = msgspec.json.Decoder(_Subscriptions)
_advanced: Final = msgspec.json.Decoder(_AdvancedMessage)
_rows: Final = msgspec.json.Decoder(list[_Trade])


class Coinbase:
    """The adapter of Coinbase; it speaks the classic or the Advanced Trade dialect."""

    def __init__(self, venue: Venue = CLASSIC) -> None:
        self.venue = venue

    def symbol(self, market: Market) -> str:
        """Return the product of ``market``.

        >>> Coinbase().symbol(Market("coinbase:BTC-USD"))
        'BTC-USD'
        """
        return "-".join(assets(market))

    def subscribe(self, markets: list[Market]) -> list[str]:
        """Return the requests for trades and heartbeats."""
        products = [self.symbol(market) for market in markets]
        request: dict[str, object] = {"type": "subscribe", "product_ids": products}
        if self.venue is ADVANCED:
            requests = [request | {"channel": name} for name in ("market_trades", "heartbeats")]
        else:
            requests = [request | {"channels": ["matches", "heartbeat"]}]
        return [msgspec.json.encode(each).decode() for each in requests]

    def parse(self, payload: bytes) -> list[VenueMessage]:
        """Return the trades, acknowledgement or refusal in one message of either dialect."""
        message = wire.decode(_messages, payload)
        match message.type, message.channel:
            case (("match" | "last_match"), _):
                match = wire.decode(_matches, payload)
                return [_trade(match, match.product_id)]
            case "subscriptions", _:
                channels = wire.decode(_subscriptions, payload).channels
                return [Ack(tuple(c.product_ids)) for c in channels if c.name == "matches"]
            case "error", _:
                return [Refusal(f"{message.message}: {message.reason}")]
            case _, "market_trades":
                events = wire.decode(_advanced, payload).events
                return [_trade(t, t.product_id) for event in events for t in event.trades]
            case _, "subscriptions":
                events = wire.decode(_advanced, payload).events
                return [
                    Ack(tuple(event.subscriptions.get("market_trades", ()))) for event in events
                ]
            case "", "":
                raise BadRecordError("neither a type nor a channel")
            case _:
                return []

    def backfill_request(self, market: Market, after: Mark) -> Request:
        """Return the request for the page of ids right after ``after``.

        The venue pages backwards only, so the page is asked for from its far end.
        """
        params = {"limit": str(_PAGE), "after": str(after.id + _PAGE + 1)}
        return Request(f"/products/{self.symbol(market)}/trades", params)

    def parse_backfill(self, market: Market, payload: bytes) -> Page:
        """Return the page in an answer of ``trades``."""
        symbol = self.symbol(market)
        trades = [_trade(row, symbol) for row in wire.decode(_rows, payload)]
        return Page(trades, is_full=len(trades) >= _PAGE)


def _trade(trade: _Trade, symbol: str) -> VenueTrade:
    maker = trade.side.lower()
    if maker not in _TAKER:
        raise BadRecordError(f"no side of a trade: {trade.side[:20]!r}")
    trade_id, scale = decimals.parse(str(trade.trade_id))
    if scale:
        raise BadRecordError(f"trade id {trade.trade_id} is no integer")
    return VenueTrade(
        symbol=symbol,
        id=trade_id,
        time_us=wire.iso_time_us(trade.time),
        price=decimals.parse(trade.price),
        size=decimals.parse(trade.size),
        side=_TAKER[maker],
    )
