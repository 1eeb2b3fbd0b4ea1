"""Trades as they happen: an even pace that does not wait for anyone, through a feed's outbox."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

from chaintide.streams.feeds.adapter import VenueTrade
from chaintide.streams.feeds.outbox import KafkaOutbox
from chaintide.streams.records import Market
from rig.kafka import PARTITIONS, Cluster

STEP_S = 0.002


@dataclass(slots=True)
class LiveFeed:
    """``per_s`` trades a second over ``markets``; remembers when each one came."""

    outbox: KafkaOutbox
    per_s: int
    markets: list[Market]
    received_s: dict[Market, list[float]] = field(default_factory=dict[Market, list[float]])
    trades: int = 0

    async def run(self, seconds: float) -> None:
        """Hand over what is due every 2 ms; what is late is due all the same."""
        before, start_s = self.trades, time.perf_counter()
        while (elapsed_s := time.perf_counter() - start_s) < seconds:
            while self.trades - before < elapsed_s * self.per_s:
                await self._put()
            await asyncio.sleep(STEP_S)

    def forget(self) -> None:
        """Give up when trades came, for runs too long to remember it."""
        self.received_s.clear()

    async def _put(self) -> None:
        market = self.markets[self.trades % len(self.markets)]
        received = self.received_s.setdefault(market, [])
        trade = VenueTrade(
            symbol=market,
            id=self.trades // len(self.markets),
            time_us=time.time_ns() // 1000,
            price=(9_000_000 + self.trades % 1000, 2),
            size=(1 + self.trades % 10**6, 8),
            side="b" if self.trades % 3 else "s",
        )
        received.append(time.perf_counter())
        self.trades += 1
        await self.outbox.put(market, [trade])


@asynccontextmanager
async def live_feed(on: Cluster, *, per_s: int, markets: int) -> AsyncIterator[LiveFeed]:
    """Return a feed that writes the trades of ``on``, its outbox running as in a real one."""
    producer = AIOKafkaProducer(**on.kafka.client_options(), enable_idempotence=True)
    await producer.start()
    outbox = KafkaOutbox(producer, PARTITIONS, lambda: time.time_ns() // 1_000_000)
    running = asyncio.create_task(outbox.run())
    try:
        yield LiveFeed(outbox, per_s, [Market(f"bench:M{n:03d}-USD") for n in range(markets)])
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await producer.stop()
