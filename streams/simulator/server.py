"""The exchange on a port of this machine.

``/v2`` is the WebSocket and ``/0/public/*`` the REST interface, both as at Kraken. For tests,
``POST /control/faults/<name>`` throws a switch and ``GET /control/trades?pair=`` is the truth.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final, Never

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from chaintide.streams.simulator import kraken, rest
from chaintide.streams.simulator.exchange import ExchangeLogic, Frame, Settings
from chaintide.streams.simulator.faults import Fault
from chaintide.streams.simulator.session import SessionLogic

MAX_SUBSCRIBERS: Final = 1_000
_MAX_INBOX: Final = 100
_TICK_S: Final = 0.02
_SEND_TIMEOUT_S: Final = 1.0
_SHUTDOWN_S: Final = 1.0
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, eq=False)
class _Subscriber:
    """A connection, what it has sent and nobody has read yet, and whether it is over."""

    session: SessionLogic
    request: web.Request
    socket: web.WebSocketResponse
    inbox: deque[WSMessage] = field(default_factory=deque[WSMessage])
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Simulator:
    """A local Kraken. ``now_us`` is its clock and may run faster than the wall's."""

    def __init__(self, settings: Settings, *, now_us: Callable[[], int], port: int = 0) -> None:
        self._now_us = now_us
        self._port = port
        self._exchange = ExchangeLogic(settings, now_us=now_us())
        self._subscribers: set[_Subscriber] = set()
        self._runner = web.AppRunner(self._app(), shutdown_timeout=_SHUTDOWN_S)
        self._refusals = cycle((429, 200))  # Kraken's edge says 429, Kraken itself 200
        self._trading: asyncio.Task[Never] | None = None

    async def start(self) -> int:
        """Open the exchange and return its port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, self._port).start()
        self._trading = asyncio.create_task(self._trade())
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Cut every connection and close the port."""
        if self._trading is not None:
            self._trading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._trading
        for subscriber in list(self._subscribers):
            self._cut(subscriber)
        await self._runner.cleanup()

    async def closed(self) -> None:
        """Wait until trading ends, which it only does by an error or a cancellation."""
        if self._trading is not None:
            await self._trading

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v2", self._subscribe)
        app.router.add_get("/0/public/{method}", self._public)
        app.router.add_get("/control/trades", self._truth)
        app.router.add_post("/control/faults/{name}", self._fault)
        return app

    # ------------------------------------------------------------------ the socket

    async def _trade(self) -> Never:
        """Trade and do all the talking, so that every subscriber hears things in order."""
        while True:
            await asyncio.sleep(_TICK_S)
            now_us = self._now_us()
            frames = self._exchange.step(now_us)
            for subscriber in list(self._subscribers):
                await self._serve(subscriber, frames, now_us)

    async def _serve(self, subscriber: _Subscriber, frames: list[Frame], now_us: int) -> None:
        """Answer, tell what is new, and cut off whoever does not read."""
        faults, opened_us = self._exchange.faults, subscriber.session.opened_us
        if faults.is_dropped(opened_us):
            self._cut(subscriber)
        elif not faults.is_frozen(opened_us, now_us=now_us):
            try:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._talk(subscriber, frames, now_us)
            except (ConnectionError, TimeoutError):
                self._cut(subscriber)

    async def _talk(self, subscriber: _Subscriber, frames: list[Frame], now_us: int) -> None:
        session, socket = subscriber.session, subscriber.socket
        for text in session.on_frames(frames, now_us=now_us):
            await socket.send_str(text)
        while subscriber.inbox:
            message = subscriber.inbox.popleft()
            if message.type is WSMsgType.TEXT:
                for text in session.on_request(message.data, now_us=now_us):
                    await socket.send_str(text)
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
            else:
                await socket.close()
                self._cut(subscriber)

    def _cut(self, subscriber: _Subscriber) -> None:
        self._subscribers.discard(subscriber)
        subscriber.gone.set()
        if subscriber.request.transport is not None:
            subscriber.request.transport.abort()

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False)
        await socket.prepare(request)
        session = SessionLogic(self._exchange, opened_us=self._now_us())
        await socket.send_str(session.greeting())
        subscriber = _Subscriber(session, request, socket)
        self._subscribers.add(subscriber)
        while len(subscriber.inbox) < _MAX_INBOX:
            message = await socket.receive()
            subscriber.inbox.append(message)
            if message.type not in {WSMsgType.TEXT, WSMsgType.PING}:
                break
        await subscriber.gone.wait()
        return socket

    # ---------------------------------------------------------------- the requests

    async def _public(self, request: web.Request) -> web.Response:
        now_us = self._now_us()
        if self._exchange.faults.is_limited(now_us=now_us):
            status = next(self._refusals)
            headers = {"Retry-After": "1"} if status == 429 else {}
            return _json(kraken.rest_error(kraken.RATE_LIMITED), status=status, headers=headers)
        method = request.match_info["method"]
        return _json(rest.answer(self._exchange, method, request.query, now_us=now_us))

    async def _truth(self, request: web.Request) -> web.Response:
        market = rest.find(self._exchange, request.query.get("pair", ""))
        if market is None:
            raise web.HTTPNotFound
        return web.Response(text=self._exchange.csv(market.symbol), content_type="text/csv")

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read() or b"{}", type=dict[str, object])
            fault = msgspec.convert(body | {"name": request.match_info["name"]}, Fault)
            self._exchange.faults.on_fault(fault, now_us=self._now_us())
        except ValueError as error:  # msgspec's errors are ValueErrors too
            raise web.HTTPBadRequest(text=str(error)) from error
        return _json(msgspec.json.encode(fault))


def _json(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


async def run(
    settings: Settings, *, now_us: Callable[[], int], port: int, announce: Callable[[int], None]
) -> None:
    """Keep the exchange open until cancelled; ``announce`` is told its port."""
    simulator = Simulator(settings, now_us=now_us, port=port)
    try:
        announce(await simulator.start())
        await simulator.closed()
    finally:
        await simulator.stop()
