"""A WebSocket that tells of new heads a little earlier; nothing depends on what it says."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from chaintide.streams.feeds.backoff import Backoff

logger = logging.getLogger(__name__)
OPEN_S: Final = 10.0
MAX_BYTES: Final = 1 << 20
_SUBSCRIBE: Final = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
)
_NOTICE: Final = '"eth_subscription"'
_FAILURES: Final = (OSError, TimeoutError, WebSocketException, InvalidHandshake, InvalidURI)


async def wake_on_heads(url: str, wake: asyncio.Event, random: Callable[[], float]) -> None:
    """Set ``wake`` at every new head, until cancelled; connect again whenever the socket ends."""
    backoff = Backoff()
    while True:
        try:
            async with connect(url, open_timeout=OPEN_S, max_size=MAX_BYTES) as socket:
                await _listen(socket, wake, backoff)
        except _FAILURES as error:
            logger.warning("heads url=%s error=%s", url, error)
        await asyncio.sleep(backoff.next_s(random))


async def _listen(socket: ClientConnection, wake: asyncio.Event, backoff: Backoff) -> None:
    await socket.send(_SUBSCRIBE)
    async for message in socket:
        if isinstance(message, str) and _NOTICE in message:
            backoff.reset()
            wake.set()


async def woken(event: asyncio.Event, timeout_s: float) -> None:
    """Return once ``event`` is set, at the latest after ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
