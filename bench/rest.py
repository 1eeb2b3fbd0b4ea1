"""How soon ``GET /v1/candles`` is answered at an even pace, idle and with trades coming in.

The server is a process of its own on a core of its own; requests go out when they are due, whether
earlier ones have been answered or not, and a time counts from when it was due. One JSON line holds
all of it: newest are the 500 newest candles of a market, random 500 anywhere in what is stored.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from statistics import quantiles

import aiohttp
import msgspec
from rig.candles import FIRST
from rig.kafka import PARTITIONS, Cluster, cluster
from rig.live import live_feed
from rig.machine import CORES, cpu_s, leave_worker_core, running
from rig.report import report

from chaintide.sinks.sqlite import FILE_NAME, SqliteStore
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Candle, CandleBatch, Market

MARKETS = tuple(Market(f"bench:M{n:03d}-USD") for n in range(20))
LIMIT = 500
ROWS_AT_ONCE = 10_000
READY_S = 60.0
WARM_UP_S = 12.0  # a worker joins its group and reads its state
COMMAND = [sys.executable, "-m", "chaintide.api.cli"]
Ask = Callable[[Random], dict[str, str]]


@dataclass(slots=True)
class Span:
    """The minutes that are stored of every market."""

    first_ms: int
    minutes: int

    def newest(self, random: Random) -> dict[str, str]:
        """Return a request for the newest candles of some market."""
        return {"market": random.choice(MARKETS), "limit": str(LIMIT)}

    def anywhere(self, random: Random) -> dict[str, str]:
        """Return a request for a page that begins at some minute of some market."""
        start_ms = self.first_ms + random.randrange(self.minutes - LIMIT) * MINUTE_MS
        return self.newest(random) | {"start": str(start_ms)}


async def fill(store: SqliteStore, span: Span) -> None:
    """Store the minutes of all markets; all but those of the last day are final."""
    for market in MARKETS:
        for first in range(0, span.minutes, ROWS_AT_ONCE):
            minutes = range(first, min(first + ROWS_AT_ONCE, span.minutes))
            rows = [candle(market, span, minute) for minute in minutes]
            await store.write([CandleBatch(market=market, generation=0, offset=0, candles=rows)])


def candle(market: Market, span: Span, minute: int) -> Candle:
    return msgspec.structs.replace(
        FIRST,
        market=market,
        open_time_ms=span.first_ms + minute * MINUTE_MS,
        close_time_ms=span.first_ms + (minute + 1) * MINUTE_MS,
        high=f"{64_010 + minute % 97}.25",
        volume=f"{minute % 89}.{minute % 9973:08d}",
        status="final" if minute < span.minutes - 1_440 else "closed",
    )


@dataclass(slots=True)
class Client:
    """Asks one server."""

    http: aiohttp.ClientSession
    url: str
    random: Random

    async def ready(self) -> None:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    async with self.http.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)

    async def pace(self, ask: Ask, per_s: int, seconds: float) -> list[float]:
        """Ask ``per_s`` times a second; return how long after it was due each answer was read."""
        begun = time.perf_counter()
        asked: list[asyncio.Task[float]] = []
        for n in range(int(per_s * seconds)):
            due_s = begun + n / per_s
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            asked.append(asyncio.create_task(self._ask(ask(self.random), due_s)))
        return await asyncio.gather(*asked)

    async def _ask(self, query: dict[str, str], due_s: float) -> float:
        async with self.http.get(f"{self.url}/v1/candles", params=query) as answer:
            body = await answer.read()
            if answer.status != 200 or body.count(b'"open_time_ms"') != LIMIT:
                raise SystemExit(f"{answer.status} {body[:200]!r}")
        return (time.perf_counter() - due_s) * 1000


@dataclass(slots=True)
class Timing:
    """What one course of requests showed."""

    latencies_ms: list[float]
    cpu_ms: float

    def told(self) -> dict[str, float]:
        """Return figures to three digits."""
        cuts = quantiles(self.latencies_ms, n=100)
        figures = {"p50_ms": cuts[49], "p95_ms": cuts[94], "p99_ms": cuts[98]}
        return {k: float(f"{v:.3g}") for k, v in (figures | {"cpu_ms": self.cpu_ms}).items()}


@contextmanager
def role(name: str, on: Cluster) -> Iterator[None]:
    """Run a role beside the server, on any core: that of the server too, as on one machine."""
    with (on.home / f"{name}.log").open("wb") as log:
        anywhere = ["taskset", "-c", ",".join(map(str, CORES))]
        command = [*anywhere, *COMMAND, name, "--data-dir", str(on.home)]
        child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            child.terminate()
            child.wait(30)


@asynccontextmanager
async def pipeline(on: Cluster, trades_per_s: int) -> AsyncIterator[None]:
    """Let trades come in, become candles and be stored."""
    with role("worker", on), role("sink", on):
        async with live_feed(on, per_s=trades_per_s, markets=len(MARKETS)) as feed:
            running_feed = asyncio.create_task(feed.run(3_600))
            await asyncio.sleep(WARM_UP_S)
            try:
                yield
            finally:
                running_feed.cancel()
                with suppress(asyncio.CancelledError):
                    await running_feed


async def course(client: Client, pid: int, options: argparse.Namespace, ask: Ask) -> Timing:
    await client.pace(ask, options.per_s, WARM_UP_S / 4)
    before_s = cpu_s(pid)
    latencies_ms = await client.pace(ask, options.per_s, options.seconds)
    return Timing(latencies_ms, (cpu_s(pid) - before_s) * 1000 / len(latencies_ms))


async def measure(options: argparse.Namespace) -> dict[str, Timing]:
    """Return how both kinds of request did, idle and busy."""
    now_ms = time.time_ns() // 1_000_000
    minutes = options.days * 1_440
    span = Span((now_ms // MINUTE_MS - minutes) * MINUTE_MS, minutes)
    timings: dict[str, Timing] = {}
    async with cluster() as on:
        store = SqliteStore(on.home / FILE_NAME)
        await fill(store, span)
        await store.close()
        os.environ |= {
            "CHAINTIDE_KAFKA": on.kafka.bootstrap,
            "CHAINTIDE_PARTITIONS": str(PARTITIONS),
            "CHAINTIDE_RATE_PER_MINUTE": "0",
        }
        port = free_port()
        serve = [*COMMAND, "serve", "--data-dir", str(on.home), "--port", str(port)]
        with running("serve", serve, cwd=on.home) as child:
            async with aiohttp.ClientSession() as http:
                client = Client(http, f"http://127.0.0.1:{port}", Random(1))
                await client.ready()
                asks = {"newest": span.newest, "random": span.anywhere}
                for name, ask in asks.items():
                    timings[f"{name}_idle"] = await course(client, child.pid, options, ask)
                async with pipeline(on, options.trades_per_s):
                    for name, ask in asks.items():
                        timings[f"{name}_busy"] = await course(client, child.pid, options, ask)
    return timings


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def main(options: argparse.Namespace) -> None:
    leave_worker_core()
    timings = asyncio.run(measure(options))
    told = {name: timing.told() for name, timing in timings.items()}
    report(
        "rest.candles",
        max(timing["p95_ms"] for timing in told.values()),
        "ms from when a request was due to when its answer was read, the highest of four p95",
        packages=("chaintide", "fastapi", "uvicorn"),
        markets=len(MARKETS),
        **vars(options),
        **told,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-s", type=int, default=200, help="requests")
    parser.add_argument("--seconds", type=float, default=10, help="of each of four courses")
    parser.add_argument("--days", type=int, default=7, help="of minutes that are stored")
    parser.add_argument("--trades-per-s", type=int, default=300, help="while it is busy")
    main(parser.parse_args())
