"""One partition in a worker: its logic, and what must be durable before its inputs are acked."""

import asyncio
from collections.abc import Iterable

import msgspec
from aiokafka import AIOKafkaProducer

from chaintide.agents.book import LEVELS
from chaintide.agents.changelog import owner
from chaintide.agents.delivery import Ackable, Delivery, Outgoing
from chaintide.agents.partition import Input, PartitionLogic, Refused
from chaintide.streams import codec
from chaintide.streams.records import CandleBatch, DeadLetter
from chaintide.streams.topics import CANDLE_STATE, CANDLES, DEAD_LETTERS, LATE

MAX_CANDLES = 1_000
MAX_UNACKED = 2_000
MAX_UNFLUSHED_TRADES = 100_000


class Shard:
    """Applies inputs, sends results at once, and acknowledges only what is durable.

    The order of every flush: results delivered, changelog delivered, then ``ack``.
    """

    def __init__(self, partition: int, logic: PartitionLogic, producer: AIOKafkaProducer) -> None:
        self.partition = partition
        self.logic = logic
        self.out = Delivery(partition, producer)
        self._unacked: list[Ackable] = []
        self._refused: list[Refused] = []
        self._flushed_trades = 0
        self._flushing = asyncio.Lock()
        self._sending = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Return whether so much waits that it must be flushed now."""
        trades = self.logic.trades - self._flushed_trades
        return len(self._unacked) >= MAX_UNACKED or trades >= MAX_UNFLUSHED_TRADES

    async def own(self) -> "Shard":
        """Write down that this generation owns the partition, before it writes anything else."""
        await self.out.send([(CANDLE_STATE, *owner(self.logic.generation))])
        await self.out.delivered()
        return self

    def apply(self, message: Input, event: Ackable) -> None:
        """Apply one input; nothing is sent or acknowledged yet."""
        self._refused += self.logic.on_input(message)
        self._unacked.append(event)

    async def emit(self, levels: range) -> None:
        """Send what changed in the intervals ``levels``, even while a flush waits for Kafka."""
        async with self._sending:
            await self.out.send(self._results(levels))

    async def flush(self) -> None:
        """Make everything applied so far durable, then acknowledge it."""
        async with self._flushing:
            if not self._unacked:
                return
            async with self._sending:
                # Taken in one step: inputs applied while sending belong to the next flush.
                results, changelog = self._results(LEVELS), self._changelog()
                events, self._unacked = self._unacked, []
                self._flushed_trades = self.logic.trades
                await self.out.send(results)
            await self.out.settle(events, changelog)

    async def release(self) -> None:
        """Leave nothing undone, as the partition is given up."""
        await self.flush()

    def _results(self, levels: range) -> list[Outgoing]:
        refused, self._refused = self._refused, []
        results: list[Outgoing] = [
            (DEAD_LETTERS, record.key.encode(), codec.encode(record))
            if isinstance(record, DeadLetter)
            else (LATE, record.trades.market.encode(), codec.encode(record))
            for record in refused
        ]
        results += [
            (CANDLES, batch.market.encode(), codec.encode(part))
            for batch in self.logic.drain(levels)
            for part in _split(batch)
        ]
        return results

    def _changelog(self) -> list[Outgoing]:
        return [(CANDLE_STATE, key, value) for key, value in self.logic.checkpoint()]


def _split(batch: CandleBatch) -> Iterable[CandleBatch]:
    """Yield ``batch`` in parts small enough for one message."""
    if len(batch.candles) <= MAX_CANDLES:
        yield batch
        return
    for start in range(0, len(batch.candles), MAX_CANDLES):
        yield msgspec.structs.replace(
            batch,
            candles=batch.candles[start : start + MAX_CANDLES],
            gaps=[] if start else batch.gaps,
        )
