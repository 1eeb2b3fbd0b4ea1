"""One WebSocket to a venue: opened, subscribed, read until it ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chaintide.streams.feeds.liveness import Liveness

_MAX_MESSAGE_BYTES: Final = 4 * 2**20


@dataclass(slots=True, eq=False)
class VenueSocket:
    """Hands every message to ``on_payload`` before it reads the next, so Kafka slows the venue.

    ``unacked`` are the symbols the venue does not stream yet; ``is_ready`` is set without any.
    ``heard_ms`` is when something last arrived; for ``liveness`` the time we ourselves took to
    handle it is no silence.
    """

    url: str
    requests: list[str]
    unacked: set[str]
    now_ms: Callable[[], int]
    liveness: Liveness = field(init=False)
    heard_ms: int = field(init=False)
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    _connection: ClientConnection | None = None

    def __post_init__(self) -> None:
        self.heard_ms = self.now_ms()
        self.liveness = Liveness(seen_ms=self.heard_ms)

    async def read(self, on_payload: Callable[["VenueSocket", bytes], Awaitable[None]]) -> None:
        """Connect, subscribe and read; the end of the connection raises."""
        async with connect(
            self.url,
            ping_interval=None,
            close_timeout=1,
            open_timeout=8,
            max_size=_MAX_MESSAGE_BYTES,
        ) as connection:
            self._connection = connection
            self._hear()
            for request in self.requests:
                await connection.send(request)
            while True:
                payload = await connection.recv(decode=False)
                self._hear()
                await on_payload(self, payload)
                self.liveness.on_sign(now_ms=self.now_ms())

    def ack(self, symbols: tuple[str, ...] | None) -> None:
        """Note that ``symbols``, or all, are being streamed."""
        self.unacked.difference_update(self.unacked.copy() if symbols is None else symbols)
        if not self.unacked:
            self.is_ready.set()

    async def ping(self) -> None:
        """Ask for a sign of life, for venues that give none by themselves."""
        if self._connection is not None:
            with contextlib.suppress(ConnectionClosed):
                pong = asyncio.ensure_future(await self._connection.ping())
                pong.add_done_callback(self._on_pong)

    def _on_pong(self, pong: "asyncio.Future[float]") -> None:
        if not pong.cancelled() and pong.exception() is None:
            self._hear()

    def _hear(self) -> None:
        self.heard_ms = self.now_ms()
        self.liveness.on_sign(now_ms=self.heard_ms)
