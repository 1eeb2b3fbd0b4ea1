"""The shell of ``chaintide gateway``: the state, what feeds it, and WebSocket clients alone."""

import asyncio
from collections.abc import Callable
from functools import partial

from chaintide.api import roles
from chaintide.api.broadcast import Broadcast
from chaintide.api.follower import Follower
from chaintide.api.loading import CandleReader, load_patiently
from chaintide.api.settings import Settings
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.gateway import Address, serving, text_frame
from chaintide.api.sockets.pump import Clocks
from chaintide.api.state.view import View


async def run_gateway(
    settings: Settings,
    listening: roles.Listening,
    now_ms: Callable[[], int],
    *,
    steady_ms: Callable[[], int],
) -> None:
    """Serve WebSocket clients until cancelled; several processes may share one port.

    ``steady_ms`` is the clock of what is live: it never goes back.

    Raises:
        ConfigError: If the port is taken by another program, or the settings do not fit the topics.
        FatalError: If the log was made anew.
    """
    async with roles.given_kafka(settings) as kafka, roles.store(settings) as store:
        reader = CandleReader(View(settings.hidden), store)
        admission = Admission(settings.origins, settings.connections_per_address)
        broadcast = Broadcast(reader, text_frame, admission, Clocks(steady_ms, now_ms))
        follower = Follower(
            kafka=kafka,
            partitions=settings.partitions,
            view=reader.view,
            now_ms=now_ms,
            on_updates=broadcast.publish,
            sinks=roles.SINKS_GROUP,
            load=partial(load_patiently, reader.view, store),
        )
        address = Address(settings.http_host, listening.port, is_shared=bool(listening.port))
        async with serving(broadcast.pump, admission, address, lambda: follower.lack) as port:
            listening.announce(port)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(follower.run())
                    tasks.create_task(broadcast.run(follower))
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from group
            finally:
                await broadcast.drain()
