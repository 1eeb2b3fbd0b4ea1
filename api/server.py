"""The shell of ``chaintide serve``: the state, what feeds it, and the server around it."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from chaintide.api import roles
from chaintide.api.broadcast import Broadcast
from chaintide.api.follower import Follower
from chaintide.api.keys import cursor_key
from chaintide.api.live.update import Update
from chaintide.api.loading import load_patiently
from chaintide.api.rest.app import new_app, with_edge
from chaintide.api.rest.backend import Backend
from chaintide.api.settings import Settings
from chaintide.api.sockets import asgi
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.garbage import seldom
from chaintide.api.sockets.pump import Clocks
from chaintide.api.state.view import View
from chaintide.api.watch import Watch
from chaintide.dashboards.site import Site
from chaintide.streams.errors import ConfigError
from chaintide.streams.topics import CANDLES, TRADES

logger = logging.getLogger(__name__)
GRACE_S: Final = 5
BACKLOG: Final = 2_048
LONGEST_WAIT_S: Final = 10.0
GROUPS: Final = {
    "worker": (roles.WORKERS_GROUP, TRADES.name),
    "sink": (roles.SINKS_GROUP, CANDLES.name),
}


async def serve(
    settings: Settings,
    listening: roles.Listening,
    now_ms: Callable[[], int],
    *,
    steady_ms: Callable[[], int],
) -> None:
    """Serve until cancelled; the server answers from the start, whatever else is down.

    ``steady_ms`` is the clock of what is live: it never goes back.

    Raises:
        ConfigError: If the port is taken, or the settings do not fit the topics.
        FatalError: If the log was made anew.
    """
    with seldom(), _bound(settings.http_host, listening.port) as bound:
        async with roles.given_kafka(settings) as kafka, roles.store(settings) as store:
            view = View(settings.hidden)
            follower = Follower(
                kafka=kafka,
                partitions=settings.partitions,
                view=view,
                now_ms=now_ms,
                on_updates=_to_nobody,
                sinks=roles.SINKS_GROUP,
                load=partial(load_patiently, view, store),
            )
            backend = Backend(
                view=view,
                store=store,
                following=follower,
                now_ms=now_ms,
                cursor_key=cursor_key(settings.data_dir, settings.cursor_key.get_secret_value()),
            )
            listening.announce(bound.getsockname()[1])
            await _run(settings, backend, follower, bound, steady_ms)


async def _run(
    settings: Settings,
    backend: Backend,
    follower: Follower,
    bound: socket.socket,
    steady_ms: Callable[[], int],
) -> None:
    admission = Admission(settings.origins, settings.connections_per_address)
    clocks = Clocks(steady_ms, backend.now_ms)
    broadcast = Broadcast(backend.reader, asgi.prepare, admission, clocks)
    follower.on_updates = broadcast.publish
    site = Site()
    app = application(backend, broadcast)
    app.include_router(site.router)
    edge = with_edge(
        app,
        per_minute=settings.rate_per_minute,
        origins=frozenset(settings.origins),
        clock=(backend.now_ms, time.perf_counter),
    )
    config = uvicorn.Config(edge, **uvicorn_options(settings))
    watch = Watch(follower.kafka, backend.store, GROUPS, backend.surroundings)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_answer(_Server(config), bound, broadcast))
            tasks.create_task(watch.run())
            tasks.create_task(site.bring_library())
            tasks.create_task(_follow(backend, follower))
            tasks.create_task(broadcast.run(follower))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


def application(backend: Backend, broadcast: Broadcast[str]) -> FastAPI:
    """Return the routes of ``backend`` and the sockets of ``broadcast``, which it counts."""
    app = new_app(backend)
    asgi.mount(app, broadcast.pump, broadcast.admission)
    app.state.metrics.clients.set_function(lambda: len(broadcast.pump.hub.sessions))
    return app


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Return how to serve; a client may say who it is only through a proxy of the settings."""
    return {
        "log_config": None,
        "access_log": False,
        "lifespan": "off",
        "server_header": False,
        "timeout_graceful_shutdown": GRACE_S,
        "proxy_headers": bool(settings.proxies),
        "forwarded_allow_ips": settings.proxies,
        **asgi.UVICORN,
    }


async def _follow(backend: Backend, follower: Follower) -> None:
    await load_patiently(backend.view, backend.store)
    backend.is_loaded = True
    await follower.run()


async def _answer(server: "_Server", bound: socket.socket, broadcast: Broadcast[str]) -> None:
    """Answer until cancelled, then finish what was asked."""
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        await asyncio.shield(serving)
    finally:
        await broadcast.drain()
        server.should_exit = True
        await asyncio.wait({serving})


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def _to_nobody(_updates: Sequence[Update]) -> None:
    """Do nothing: there are no clients yet."""


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    try:
        bound = socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"port {port} of {host}: {error.strerror}; choose another one") from error
    with bound:
        yield bound
