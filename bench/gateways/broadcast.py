"""``websockets`` as its documentation says: a set of connections a channel, and ``broadcast``."""

import sys
from collections import defaultdict

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as listen

from chaintide.api.live.update import Update
from gateways.flow import ANSWER, message, names_in, obey, run

channels: dict[str, set[ServerConnection]] = defaultdict(set)


async def handle(connection: ServerConnection) -> None:
    names: list[str] = []
    try:
        async for request in connection:
            names += names_in(request)
            for name in names:
                channels[name].add(connection)
            await connection.send(ANSWER)
    finally:
        for name in names:
            channels[name].discard(connection)


async def publish(updates: list[Update]) -> None:
    for update in updates:
        broadcast(channels[update.channel], message(update).decode())


async def serve(port: int, count: int) -> None:
    options = {"compression": None, "ping_interval": None, "backlog": 4_096}
    async with listen(handle, "127.0.0.1", port, **options):
        await obey(publish, count)


if __name__ == "__main__":
    _, loop, port, count = sys.argv
    run(serve(int(port), int(count)), loop)
