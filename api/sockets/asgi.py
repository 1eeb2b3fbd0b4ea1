"""The WebSocket route of the REST server, for some hundreds of clients beside the page."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

from fastapi import APIRouter, FastAPI, WebSocket, WebSocketDisconnect

from chaintide.api.live.effects import Close
from chaintide.api.live.limits import Limits
from chaintide.api.live.pulse import PING_MS, PONG_MS
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.pump import Pump

CLOSE_S: Final = 5.0
AsgiPump = Pump[str]
# For uvicorn: it pings, with the times of the hub's own pulse, and bounds what comes in.
UVICORN: Final[dict[str, Any]] = {
    "ws": "websockets-sansio",
    "ws_ping_interval": PING_MS / 1000,
    "ws_ping_timeout": PONG_MS / 1000,
    "ws_per_message_deflate": False,
    "ws_max_size": Limits().message_bytes,
}


def prepare(data: bytes) -> str:
    """Return the content of a frame as ASGI takes it."""
    return data.decode()


class Client:
    """The wire of one connection: at most one frame is on its way, answers wait behind it."""

    __slots__ = ("_frames", "_pump", "_socket", "_wake", "session")

    def __init__(self, socket: WebSocket, pump: AsgiPump) -> None:
        self._socket = socket
        self._pump = pump
        self._frames: deque[str | Close] = deque()
        self._wake = asyncio.Event()
        self.session = pump.join(self)

    def write(self, frame: str) -> None:
        """Hand a frame to the task that writes."""
        self._put(frame)

    @property
    def backlog_bytes(self) -> int:
        """Return what waits for the task that writes."""
        return sum(len(frame) for frame in self._frames if isinstance(frame, str))

    def ping(self) -> None:
        """Do nothing: ASGI has no pings, the server under it sends them and ends the dead."""
        self.session.on_sign()

    def close(self, close: Close) -> None:
        """Close after what was written before."""
        self._put(close)

    async def writing(self) -> None:
        """Write until the connection is closed."""
        while True:
            await self._wake.wait()
            while self._frames:
                frame = self._frames.popleft()
                if isinstance(frame, Close):
                    await self._socket.close(frame.code, frame.reason)
                    return
                await self._socket.send_text(frame)
            self._wake.clear()
            self._pump.on_writable(self.session)

    def _put(self, frame: str | Close) -> None:
        self._frames.append(frame)
        self.session.is_writable = False
        self._wake.set()


def mount(app: FastAPI, pump: AsgiPump, admission: Admission) -> None:
    """Add ``/ws/v1`` to ``app``."""
    router = APIRouter()

    @router.websocket("/ws/v1")
    async def live(socket: WebSocket) -> None:
        await _handle(socket, pump, admission)

    app.include_router(router)


async def _handle(socket: WebSocket, pump: AsgiPump, admission: Admission) -> None:
    address = socket.client.host if socket.client else ""
    await socket.accept()
    refusal = admission.admit(
        address, origin=socket.headers.get("origin"), host=socket.headers.get("host")
    )
    if refusal is not None:
        await socket.close(refusal.code, refusal.reason)
        return
    client = Client(socket, pump)
    writing = asyncio.create_task(client.writing())
    try:
        reading = asyncio.create_task(_read(socket, client, pump))
        await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():  # we closed it; wait for the client's answer, but not for ever
            await asyncio.wait({reading}, timeout=CLOSE_S)
    finally:
        pump.leave(client.session)
        admission.release(address)
        for task in (reading, writing):
            task.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                await task


async def _read(socket: WebSocket, client: Client, pump: AsgiPump) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if (text := message.get("text")) is not None:
            pump.on_text(client.session, text)
        else:
            pump.on_binary(client.session)
        await asyncio.sleep(0)  # many requests may be here already: let answers be written
