"""One subscriber's side of the socket: requests in, frames out, without a socket or a clock."""

from typing import Final

import msgspec

from chaintide.streams.simulator import kraken
from chaintide.streams.simulator.exchange import ExchangeLogic, Frame
from chaintide.streams.simulator.kraken import Stamp

_HEARTBEAT_US: Final = 1_000_000


class _Params(msgspec.Struct):
    channel: str = ""
    symbol: list[str] = []
    snapshot: bool = True


class _Request(msgspec.Struct):
    method: str
    params: _Params = msgspec.field(default_factory=_Params)
    req_id: int | None = None


_requests: Final = msgspec.json.Decoder(_Request)


class SessionLogic:
    """What one connection has subscribed to and is told."""

    def __init__(self, exchange: ExchangeLogic, *, opened_us: int) -> None:
        self.opened_us = opened_us
        self._exchange = exchange
        self._symbols = {kraken.ws_symbol(m): m.symbol for m in exchange.markets.values()}
        self._subscribed: set[str] = set()
        self._spoke_us = opened_us

    def greeting(self) -> str:
        """Return the first message of the connection."""
        return kraken.status_frame(self.opened_us)

    def on_request(self, text: str, *, now_us: int) -> list[str]:
        """Return the answers to one message of the subscriber."""
        try:
            request = _requests.decode(text)
        except msgspec.DecodeError:
            return [kraken.error_frame("", "Malformed request", Stamp(now_us))]
        stamp = Stamp(now_us, request.req_id)
        params = request.params
        match request.method, params.channel:
            case "ping", _:
                return [kraken.answer_frame("pong", stamp)]
            case "subscribe", "trade":
                answers = [
                    self._subscribe(n, stamp, snapshot=params.snapshot) for n in params.symbol
                ]
                return [text for answer in answers for text in answer]
            case "unsubscribe", "trade":
                return [self._unsubscribe(name, stamp) for name in params.symbol]
            case method, _:
                return [kraken.error_frame(method, "Unsupported request", stamp)]

    def on_frames(self, frames: list[Frame], *, now_us: int) -> list[str]:
        """Return those that were subscribed to, or a heartbeat after a second without any."""
        texts = [frame.text for frame in frames if frame.symbol in self._subscribed]
        if self._subscribed and not texts and now_us - self._spoke_us >= _HEARTBEAT_US:
            texts = [kraken.HEARTBEAT]
        if texts:
            self._spoke_us = now_us
        return texts

    def _subscribe(self, name: str, stamp: Stamp, *, snapshot: bool) -> list[str]:
        symbol = self._symbols.get(name)
        if symbol is None:
            error = f"Currency pair not supported {name}"
            return [kraken.error_frame("subscribe", error, stamp, symbol=name)]
        self._subscribed.add(symbol)
        result = {"channel": "trade", "snapshot": snapshot, "symbol": name}
        texts = [kraken.answer_frame("subscribe", stamp, result)]
        if snapshot:
            market, recent = self._exchange.markets[symbol], self._exchange.recent(symbol)
            texts.append(kraken.trade_frame(market, recent, "snapshot"))
        return texts

    def _unsubscribe(self, name: str, stamp: Stamp) -> str:
        self._subscribed.discard(self._symbols.get(name, ""))
        return kraken.answer_frame("unsubscribe", stamp, {"channel": "trade", "symbol": name})
