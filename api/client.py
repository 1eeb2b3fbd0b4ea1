"""Channels of ``/ws/v1`` as they happen, over connections that come and go."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from chaintide.api.positions import Event, Positions, may_reconnect
from chaintide.streams.errors import ConfigError, RetryableError
from chaintide.streams.feeds.backoff import Backoff

FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 8.0


def _ignore(_reason: str) -> None:
    """Do nothing."""


async def stream(
    url: str,
    *channels: str,
    snapshot: int = 100,
    on_break: Callable[[str], None] = _ignore,
) -> AsyncIterator[Event]:
    """Yield snapshots and updates of ``channels``, none twice and all in order, for ever.

    Of trades every update comes; of other channels those that a later one replaces may be left
    out when there is much.

    It begins with up to ``snapshot`` entries of each channel. When the connection breaks it
    tells ``on_break``, connects again and resumes where it was; if the server no longer has
    what was missed, another snapshot comes.

    Raises:
        ConfigError: If there is no server at ``url`` to begin with, or it refuses for good.
    """
    positions = Positions(channels, snapshot)
    backoff = Backoff(first_s=FIRST_WAIT_S, cap_s=LONGEST_WAIT_S)
    is_first = True
    while True:
        try:
            async with connect(url, compression=None, max_size=None) as socket:
                is_first = False
                await socket.send(positions.request())
                async for event in _events(socket, positions):
                    backoff.reset()
                    yield event
            reason = "the server closed the connection"
        except InvalidURI as error:
            raise ConfigError(
                f"{url} is no address of a WebSocket, as ws://host:port/ws/v1"
            ) from error
        except ConnectionClosed as error:
            reason = _ending(url, error)
        except (OSError, InvalidHandshake, TimeoutError, RetryableError) as error:
            reason = str(error) or type(error).__name__
            if is_first:
                raise ConfigError(
                    f"no server at {url} ({reason}); `chaintide up` starts one"
                ) from error
        on_break(reason)
        await asyncio.sleep(_wait_s(positions, backoff))


async def _events(socket: ClientConnection, positions: Positions) -> AsyncIterator[Event]:
    async for frame in socket:
        for line in str(frame).split("\n"):
            if (event := positions.on_line(line)) is not None:
                yield event


def _ending(url: str, error: ConnectionClosed) -> str:
    """Return why a connection ended, unless it would end so again."""
    code = 1006 if error.rcvd is None else error.rcvd.code
    said = "" if error.rcvd is None else error.rcvd.reason
    if not may_reconnect(code):
        raise ConfigError(f"{url} closed the connection: {said or 'no reason'} ({code})") from error
    return f"connection closed: {said or 'broken'} ({code})"


def _wait_s(positions: Positions, backoff: Backoff) -> float:
    if positions.retry_after_ms is None:
        return backoff.next_s(random.random)
    low_ms, high_ms = positions.retry_after_ms
    positions.retry_after_ms = None
    return random.uniform(low_ms, high_ms) / 1000  # noqa: S311  to spread clients, not to hide
