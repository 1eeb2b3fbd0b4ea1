"""What all servers have in common: the updates they send, and when."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
import uvloop

from chaintide.api.live.messages import encoded_update
from chaintide.api.live.update import Update
from chaintide.streams.intervals import INTERVALS

MARKETS = tuple(f"bench:M{n:03d}-USD" for n in range(100))
SHAPES = ("ticker:{}", *(f"candles:{{}}:{interval}" for interval in INTERVALS))
ANSWER = '{"id":1,"ok":true}'
# Of the length that tickers and candles have.
DATA = (
    '{{"t_us":{},"market":"{}","open":"91234.50","high":"91999.00","low":"90001.25",'
    '"close":"91503.75","volume":"1532.90412873","trades":18230}}'
)
Publish = Callable[[list[Update]], Awaitable[None]]
_parse = msgspec.json.decode


class Flow:
    """One update of a market is one message in each of its first ``channels`` channels."""

    def __init__(self, channels: int) -> None:
        self._shapes = SHAPES[:channels]
        self._seq = 0

    def updates(self, market: str, due_us: int) -> list[Update]:
        """Return the next messages of a market; they say when they were due."""
        self._seq += 1_000
        data = DATA.format(due_us, market).encode()
        return [
            Update(
                channel=shape.format(market),
                seq=self._seq,
                key="one",
                type="update",
                event_ms=due_us // 1000,
                published_ms=due_us // 1000,
                data=data,
            )
            for shape in self._shapes
        ]

    async def run(self, per_s: float, publish: Publish) -> None:
        """Publish for each market ``per_s`` times a second; what is late is due all the same."""
        step_s = 1 / (per_s * len(MARKETS))
        start_s, start_us, done = time.perf_counter(), time.time_ns() // 1000, 0
        while True:
            due = int((time.perf_counter() - start_s) / step_s)
            while done < due:
                due_us = start_us + int(done * step_s * 1_000_000)
                await publish(self.updates(MARKETS[done % len(MARKETS)], due_us))
                await asyncio.sleep(0)
                done += 1
            await asyncio.sleep(step_s)


def message(update: Update) -> bytes:
    """Return an update as every server sends it."""
    return encoded_update(update, prev=update.seq - 1_000, conflated=0)


def names_in(request: str | bytes) -> list[str]:
    """Return the channels that a subscribe request asks for."""
    return [wanted["ch"] for wanted in _parse(request)["channels"]]


async def obey(publish: Publish, channels: int) -> None:
    """Do what comes by standard input: ``go`` with a pace, or ``stop``; return at its end."""
    flow = Flow(channels)
    running: asyncio.Task[None] | None = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        if running is not None:
            running.cancel()
        if line.startswith("go"):
            per_s = float(line.split()[1])
            running = asyncio.create_task(flow.run(per_s, publish))


def run(serve: Coroutine[Any, Any, None], loop: str) -> None:
    """Run a server on the event loop of that name."""
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve)
