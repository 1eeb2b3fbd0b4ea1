"""What a feed hands over for Kafka: trades in small batches, and promises in their place."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer

from chaintide.streams import codec
from chaintide.streams.batches import batch_of
from chaintide.streams.ending import end_if_told
from chaintide.streams.errors import FatalError
from chaintide.streams.feeds.adapter import VenueTrade
from chaintide.streams.feeds.coingecko import PriceTick, Trending
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import DeadLetter, Gap, Heartbeat, Market, TradeBatch
from chaintide.streams.topics import DEAD_LETTERS, TICKS, TRADES

FLUSH_S: Final = 0.01
MAX_BATCH: Final = 500
MAX_UNSENT: Final = 20_000
Notice = Gap | Heartbeat | DeadLetter | PriceTick | Trending


class Outbox(Protocol):
    """Where a feed leaves what it has read; everything keeps the order of the calls."""

    async def put(self, market: Market, trades: Sequence[VenueTrade]) -> None:
        """Take ``trades``; wait while too many are unsent."""
        ...

    async def send(self, notice: Notice) -> None:
        """Take ``notice``, to be written after every trade put before it."""
        ...


@dataclass(slots=True)
class MemoryOutbox:
    """An outbox that keeps everything, for tests."""

    trades: dict[Market, list[VenueTrade]] = field(default_factory=dict[Market, list[VenueTrade]])
    notices: list[Notice] = field(default_factory=list[Notice])

    async def put(self, market: Market, trades: Sequence[VenueTrade]) -> None:
        """Keep ``trades``."""
        self.trades.setdefault(market, []).extend(trades)

    async def send(self, notice: Notice) -> None:
        """Keep ``notice``."""
        self.notices.append(notice)


@dataclass(slots=True)
class KafkaOutbox:
    """Writes trades per market at most 10 ms after they came, up to 500 to a message.

    At 20,000 trades not yet acknowledged by the broker, ``put`` waits, which stops the feed from
    reading its socket. A write that Kafka refuses for good is raised by the next call: nothing is
    dropped, and a restart resumes from what the topic holds.
    """

    producer: AIOKafkaProducer
    partitions: int
    now_ms: Callable[[], int]
    _pending: dict[Market, list[VenueTrade]] = field(default_factory=dict[Market, list[VenueTrade]])
    _unsent: int = 0
    _failure: BaseException | None = None
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _has_pending: asyncio.Event = field(default_factory=asyncio.Event)
    _has_room: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Flush what is pending every 10 ms, and everything when cancelled."""
        try:
            while True:
                end_if_told()
                await self._has_pending.wait()
                await asyncio.sleep(FLUSH_S)
                await self.flush()
        finally:
            await self.flush()
            await self.producer.flush()
            self._raise_failure()

    async def put(self, market: Market, trades: Sequence[VenueTrade]) -> None:
        """Take ``trades``; wait while 20,000 are unsent."""
        pending = self._pending.setdefault(market, [])
        pending.extend(trades)
        self._unsent += len(trades)
        self._has_pending.set()
        if len(pending) >= MAX_BATCH:
            await self.flush()
        while self._unsent >= MAX_UNSENT:
            self._has_room.clear()
            await self._has_room.wait()
            self._raise_failure()

    async def send(self, notice: Notice) -> None:
        """Write ``notice`` to the partitions it concerns, after every trade put before it."""
        await self.flush()
        async with self._sending:
            match notice:
                case DeadLetter():
                    await self._write(DEAD_LETTERS.name, notice.key, None, notice)
                case PriceTick():
                    await self._write(TICKS.name, notice.market, None, notice)
                case Trending():
                    await self._write(TICKS.name, "trending", None, notice)
                case Gap():
                    await self._write(TRADES.name, notice.market, self._home(notice.market), notice)
                case Heartbeat():
                    for partition in self._audience(notice):
                        await self._write(TRADES.name, notice.venue, partition, notice)

    async def flush(self) -> None:
        """Hand everything pending to the producer; a trade is pending until it has taken it."""
        self._raise_failure()
        async with self._sending:
            self._has_pending.clear()
            for market in list(self._pending):
                trades = self._pending[market]
                while chunk := trades[:MAX_BATCH]:
                    batch = batch_of(market, chunk, now_ms=self.now_ms())
                    await self._write(TRADES.name, market, self._home(market), batch)
                    del trades[: len(chunk)]
                del self._pending[market]

    def _home(self, market: Market) -> int:
        return partition_of(market, self.partitions)

    def _audience(self, heartbeat: Heartbeat) -> Iterable[int]:
        market = heartbeat.market
        return range(self.partitions) if market is None else [self._home(market)]

    async def _write(
        self, topic: str, key: str, partition: int | None, record: TradeBatch | Notice
    ) -> None:
        sent = await self.producer.send(
            topic, codec.encode(record), key=key.encode(), partition=partition
        )
        size = len(record) if isinstance(record, TradeBatch) else 0
        sent.add_done_callback(lambda future: self._on_sent(future, size))

    def _on_sent(self, sent: "asyncio.Future[Any]", size: int) -> None:
        self._unsent -= size
        if not sent.cancelled() and (error := sent.exception()) is not None:
            self._failure = error
            self._has_pending.set()
        if self._unsent < MAX_UNSENT or self._failure is not None:
            self._has_room.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise FatalError(f"Kafka does not take trades: {self._failure}") from self._failure
