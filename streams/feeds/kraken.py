"""Kraken: WebSocket v2 trades and the public REST ``Trades`` call.

Both number trades alike, one by one per pair. On subscribing the venue repeats the last 50.
"""

from typing import Final

import msgspec

from chaintide.streams import decimals
from chaintide.streams.errors import BadRecordError, RetryableError
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
    raw_number,
)
from chaintide.streams.records import Market

VENUE: Final = Venue(
    name="kraken",
    ws_url="wss://ws.kraken.com/v2",
    rest_url="https://api.kraken.com",
    rest_per_minute=60,
)
_PAGE: Final = 1000
_SIDES: Final[dict[str, TakerSide]] = {"buy": "b", "sell": "s", "b": "b", "s": "s"}
_REST_ASSETS: Final = {"BTC": "XBT", "DOGE": "XDG"}
_BUSY: Final = ("EAPI:Rate limit", "EGeneral:Too many", "EService:")


class _Ack(msgspec.Struct):
    symbol: str = ""


class _Message(msgspec.Struct):
    channel: str = ""
    method: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    success: bool = False
    result: _Ack | None = None
    error: str = ""


class _Trade(msgspec.Struct):
    symbol: str
    side: str
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: int
    timestamp: str


class _Row(msgspec.Struct, array_like=True):
    price: str
    size: str
    time_s: msgspec.Raw
    side: str
    order_type: str
    misc: str
    trade_id: int


class _Answer(msgspec.Struct):
    error: list[str]
    result: dict[str, msgspec.Raw] = {}


_messages: Final = msgspec.json.Decoder(_Message)
_trades: Final = msgspec.json.Decoder(list[_Trade])
_answers: Final = msgspec.json.Decoder(_Answer)
_rows: Final = msgspec.json.Decoder(list[_Row])


def _side(text: str) -> TakerSide:
    if text not in _SIDES:
        raise BadRecordError(f"no side of a trade: {text[:20]!r}")
    return _SIDES[text]


def _live_trade(trade: _Trade) -> VenueTrade:
    return VenueTrade(
        symbol=trade.symbol,
        id=trade.trade_id,
        time_us=wire.iso_time_us(trade.timestamp),
        price=raw_number(trade.price),
        size=raw_number(trade.qty),
        side=_side(trade.side),
    )


class Kraken:
    """The adapter of Kraken's spot markets."""

    venue: Venue = VENUE

    def symbol(self, market: Market) -> str:
        """Return the WebSocket name of ``market``.

        >>> Kraken().symbol(Market("kraken:BTC-USD"))
        'BTC/USD'
        """
        return "/".join(assets(market))

    def market(self, symbol: str) -> Market:
        """Return the market that Kraken calls ``symbol``.

        >>> Kraken().market("BTC/USD")
        'kraken:BTC-USD'
        """
        return Market(f"kraken:{symbol.replace('/', '-')}")

    def pair(self, market: Market) -> str:
        """Return the REST name of ``market``, where some assets have older names.

        >>> Kraken().pair(Market("kraken:BTC-USD"))
        'XBTUSD'
        """
        return "".join(_REST_ASSETS.get(asset, asset) for asset in assets(market))

    def subscribe(self, markets: list[Market]) -> list[str]:
        """Return one request for all markets; the venue acknowledges each by itself."""
        params = {"channel": "trade", "symbol": [self.symbol(m) for m in markets], "snapshot": True}
        return [msgspec.json.encode({"method": "subscribe", "params": params}).decode()]

    def parse(self, payload: bytes) -> list[VenueMessage]:
        """Return the trades, acknowledgement or refusal in one v2 message."""
        message = wire.decode(_messages, payload)
        if message.channel == "trade":
            return [_live_trade(trade) for trade in wire.decode(_trades, bytes(message.data))]
        if message.method == "subscribe":
            if message.success and message.result is not None:
                return [Ack((message.result.symbol,))]
            return [Refusal(message.error)]
        if message.error:
            return [Refusal(message.error)]
        if not (message.channel or message.method):
            raise BadRecordError("neither a channel nor a method")
        return []

    def backfill_request(self, market: Market, after: Mark) -> Request:
        """Return the request for trades from the microsecond of ``after`` on.

        ``since`` is exclusive and in nanoseconds, finer than our times.
        """
        since = str(after.time_us * 1000 - 1)
        return Request(
            "/0/public/Trades", {"pair": self.pair(market), "since": since, "count": str(_PAGE)}
        )

    def parse_backfill(self, market: Market, payload: bytes) -> Page:
        """Return the page in an answer of ``Trades``, whatever it calls the pair."""
        answer = wire.decode(_answers, payload)
        if answer.error:
            reason = ", ".join(answer.error)
            raise RetryableError(reason) if reason.startswith(_BUSY) else BadRecordError(reason)
        columns = [raw for name, raw in answer.result.items() if name != "last"]
        if len(columns) != 1:
            raise BadRecordError(f"trades of {len(columns)} pairs instead of one")
        symbol = self.symbol(market)
        rows = wire.decode(_rows, bytes(columns[0]))
        trades = [
            VenueTrade(
                symbol=symbol,
                id=row.trade_id,
                time_us=wire.seconds_time_us(raw_number(row.time_s)),
                price=decimals.parse(row.price),
                size=decimals.parse(row.size),
                side=_side(row.side),
            )
            for row in rows
        ]
        return Page(trades, is_full=len(trades) >= _PAGE)
