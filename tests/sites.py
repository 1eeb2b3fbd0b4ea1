"""Servers of live channels to test with: both adapters around a log that tests write."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import connect

from chaintide.api.live.directory import Directory
from chaintide.api.live.hub import Hub
from chaintide.api.live.limits import Limits
from chaintide.api.live.update import Snapshot, Update
from chaintide.api.sockets import asgi, gateway
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.pump import Clocks, Pump

CHANNEL = "candles:kraken:BTC-USD:1m"
TICKER = "ticker:kraken:BTC-USD"
TRADES = "trades:kraken:BTC-USD"
WALL_MS = 1_763_740_800_000


@dataclass
class Log:
    """Channels as a state would hold them, with older entries in a store."""

    entries: dict[str, list[bytes]] = field(default_factory=dict)
    seqs: dict[str, int] = field(default_factory=dict)
    stored: list[bytes] = field(default_factory=list)

    def append(self, channel: str, data: bytes) -> Update:
        seq = self.seqs[channel] = self.seqs.get(channel, 0) + 1_000
        self.entries.setdefault(channel, []).append(data)
        key = seq if channel == CHANNEL else "one"
        return Update(
            channel=channel,
            seq=seq,
            key=key,
            type="update",
            event_ms=seq,
            published_ms=seq,
            data=data,
        )

    def snapshot(self, channel: str, count: int) -> Snapshot | None:
        if "unknown" in channel:
            return None
        found = self.entries.get(channel, [])
        is_short = count > len(found) and bool(self.stored)
        return Snapshot(self.seqs.get(channel, 0), found[-count:] if count else [], is_short)

    async def load(self, channel: str, _count: int) -> None:
        await asyncio.sleep(0)
        self.entries[channel] = [*self.stored, *self.entries.get(channel, [])]
        self.stored = []


@dataclass
class Site:
    """One running server."""

    pump: Pump
    log: Log
    port: int
    skipped_ms: int = 0

    def publish(self, channel: str, *values: object) -> None:
        self.pump.publish([self.log.append(channel, json.dumps(v).encode()) for v in values])

    def client(self, **options: object) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}/ws/v1", compression=None, **options)


Serving = Callable[..., "AsyncIterator[Site]"]


def pump_of(prepare: Callable[[bytes], object], limits: Limits) -> tuple[Pump, Log, Site]:
    log = Log()
    hub = Hub(Directory("k3f9", log, limits), jitter=lambda: 0.5)
    site = Site(None, log, 0)
    loop = asyncio.get_running_loop()
    clocks = Clocks(lambda: int(loop.time() * 1000) + site.skipped_ms, lambda: WALL_MS)
    pump = Pump(hub, prepare, log.load, clocks)
    site.pump = pump
    return pump, log, site


@asynccontextmanager
async def running_gateway(
    limits: Limits, admission: Admission, *, ping_s: float = 24.0
) -> AsyncIterator[Site]:
    assert ping_s  # the hub pings, and these tests set its clock
    pump, _, site = pump_of(gateway.text_frame, limits)
    ticking = asyncio.create_task(pump.run())
    async with gateway.serving(pump, admission, gateway.Address("127.0.0.1", 0)) as port:
        site.port = port
        yield site
    ticking.cancel()


@asynccontextmanager
async def running_asgi(
    limits: Limits, admission: Admission, *, ping_s: float = 24.0
) -> AsyncIterator[Site]:
    pump, _, site = pump_of(asgi.prepare, limits)
    app = FastAPI()
    asgi.mount(app, pump, admission)
    options = asgi.UVICORN | {"ws_ping_interval": ping_s, "ws_ping_timeout": ping_s}
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", **options)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    ticking = asyncio.create_task(pump.run())
    site.port = listening.getsockname()[1]
    try:
        yield site
        await pump.drain("shutdown")
    finally:
        server.should_exit = True
        await serving
        ticking.cancel()
        listening.close()
