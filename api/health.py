"""One HTTP answer for whoever watches a machine: which processes run, and how far behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from chaintide.api import roles
from chaintide.api.supervisor import Supervisor
from chaintide.streams.admin import lag
from chaintide.streams.errors import ConfigError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import CANDLES, TRADES


class Health(msgspec.Struct, frozen=True):
    """What ``GET /healthz`` says; 503 while a process is down, with the same content."""

    status: str
    processes: dict[str, bool]
    messages_behind: dict[str, int]


async def examine(kafka: KafkaConfig, supervisor: Supervisor) -> Health:
    """Return the health of the processes that ``supervisor`` keeps."""
    processes = {role.name: role.is_running for role in supervisor.roles}
    behind = {
        "worker": await lag(kafka, roles.WORKERS_GROUP, TRADES.name),
        "sink": await lag(kafka, roles.SINKS_GROUP, CANDLES.name),
    }
    return Health("ok" if all(processes.values()) else "degraded", processes, behind)


@asynccontextmanager
async def serving(kafka: KafkaConfig, supervisor: Supervisor, port: int) -> AsyncIterator[int]:
    """Answer on 127.0.0.1 for this block; yield the port, which is free-chosen if 0 was given.

    Raises:
        ConfigError: If the port is taken.
    """

    async def healthz(_request: web.Request) -> web.Response:
        health = await examine(kafka, supervisor)
        return web.Response(
            body=msgspec.json.encode(health),
            status=200 if health.status == "ok" else 503,
            content_type="application/json",
        )

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(f"port {port} is taken; choose another with --http-port") from error
        [address] = runner.addresses
        yield address[1]
    finally:
        await runner.cleanup()
