"""Ten thousand clients in one process: frames are made once and written to every transport."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from chaintide.api.live.effects import Close
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.garbage import Garbage
from chaintide.api.sockets.pump import Pump
from chaintide.streams.errors import ConfigError

FULL_BYTES: Final = 1 << 16
BACKLOG: Final = 4_096
CLOSE_S: Final = 5.0
PING: Final = b"\x89\x00"
GatewayPump = Pump[bytes]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; a shared port is one that several processes listen at together."""

    host: str
    port: int
    is_shared: bool = False


def text_frame(data: bytes) -> bytes:
    r"""Return the bytes of an unmasked text frame, the same for every client (RFC 6455, 5.2).

    >>> text_frame(b"hi")
    b'\x81\x02hi'
    >>> text_frame(bytes(300))[:4]
    b'\x81~\x01,'
    """
    size = len(data)
    if size < 126:
        return bytes((0x81, size)) + data
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data


class Connection(ServerConnection):
    """A connection that tells its client of what only the protocol sees."""

    client: "Client | None" = None

    def data_received(self, data: bytes) -> None:
        """Take anything that comes for a sign of life."""
        super().data_received(data)
        if self.client is not None:
            self.client.session.on_sign()
            if self.protocol.state is not State.OPEN:
                self.client.end()

    def eof_received(self) -> None:
        """Let nothing more be written, as the protocol ends its side too."""
        if self.client is not None:
            self.client.end()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let nothing more be written."""
        if self.client is not None:
            self.client.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Leave a client alone that does not read."""
        super().pause_writing()
        if self.client is not None:
            self.client.session.is_writable = False

    def resume_writing(self) -> None:
        """Go on with it."""
        super().resume_writing()
        if self.client is not None:
            self.client.pump.on_writable(self.client.session)


# For `serve`. The hub pings.
OPTIONS: Final[dict[str, Any]] = {
    "create_connection": Connection,
    "backlog": BACKLOG,
    "compression": None,
    "ping_interval": None,
    "write_limit": FULL_BYTES,
    "close_timeout": CLOSE_S,
    "server_header": None,
}


class Client:
    """The wire of one connection."""

    __slots__ = ("_closing", "_connection", "pump", "session", "write")

    def __init__(self, connection: Connection, pump: GatewayPump) -> None:
        self._connection = connection
        self._closing: asyncio.Task[None] | None = None
        # Past the protocol, which has nothing to remember of a frame, until it is closed.
        self.write: Callable[[bytes], object] = connection.transport.write
        self.pump = pump
        self.session = pump.join(self)

    @property
    def backlog_bytes(self) -> int:
        """Return what the transport holds."""
        return self._connection.transport.get_write_buffer_size()

    def ping(self) -> None:
        """Write a ping; any frame answers it."""
        self.write(PING)

    def end(self) -> None:
        """Write nothing more: nothing follows a close frame."""
        self.write = id  # takes anything and does nothing

    def close(self, close: Close) -> None:
        """Close with a code; cut the line of a client that does not take it."""
        self._closing = asyncio.create_task(self._close(close))

    async def _close(self, close: Close) -> None:
        self.end()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close(close.code, close.reason)
        except TimeoutError:
            self._connection.transport.abort()


@asynccontextmanager
async def serving(
    pump: GatewayPump,
    admission: Admission,
    address: Address,
    lack: Callable[[], str] = str,
) -> AsyncIterator[int]:
    """Take clients in at ``/ws/v1`` for this block; yield the port.

    ``/readyz`` answers 503 and what ``lack`` returns, unless that is nothing.

    Raises:
        ConfigError: If the port is taken.
    """
    garbage = Garbage()

    async def handle(connection: ServerConnection) -> None:
        garbage.on_here()
        try:
            await _handle(cast("Connection", connection), pump, admission)
        finally:
            garbage.on_gone()

    def route(connection: ServerConnection, request: Request) -> Response | None:
        return _route(connection, request.path.partition("?")[0], lack)

    try:
        server = await serve(
            handle,
            address.host,
            address.port,
            process_request=route,
            reuse_port=address.is_shared or None,
            max_size=pump.hub.directory.limits.message_bytes,
            **OPTIONS,
        )
    except OSError as error:
        raise ConfigError(f"port {address.port} of {address.host} is taken") from error
    try:
        with garbage.collecting():
            yield next(iter(server.sockets)).getsockname()[1]
            await pump.drain("shutdown")
    finally:
        server.close(close_connections=True)
        await server.wait_closed()


def _route(connection: ServerConnection, path: str, lack: Callable[[], str]) -> Response | None:
    match path:
        case "/ws/v1":
            return None
        case "/healthz":
            return connection.respond(HTTPStatus.OK, "ok\n")
        case "/readyz":
            reason = lack()
            status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
            return connection.respond(status, f"{reason or 'ready'}\n")
        case _:
            return connection.respond(HTTPStatus.NOT_FOUND, "the WebSocket is at /ws/v1\n")


async def _handle(connection: Connection, pump: GatewayPump, admission: Admission) -> None:
    headers = connection.request.headers if connection.request else {}
    address = str(connection.remote_address[0])
    refusal = admission.admit(address, origin=headers.get("Origin"), host=headers.get("Host"))
    if refusal is not None:
        await connection.close(refusal.code, refusal.reason)
        return
    client = connection.client = Client(connection, pump)
    try:
        async for message in connection:
            if isinstance(message, str):
                pump.on_text(client.session, message)
            else:
                pump.on_binary(client.session)
    except ConnectionClosed:
        pass  # how it ended is known to whoever ended it
    finally:
        pump.leave(client.session)
        admission.release(address)
