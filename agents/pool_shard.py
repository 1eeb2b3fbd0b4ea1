"""One partition of logs in a worker: its pools, and what is durable before logs are acked."""

import asyncio

from aiokafka import AIOKafkaProducer

from chaintide.agents.changelog import owner
from chaintide.agents.delivery import Ackable, Delivery, Outgoing
from chaintide.agents.partition import Input
from chaintide.agents.pools import PoolsLogic
from chaintide.streams import codec
from chaintide.streams.topics import DEAD_LETTERS, VIEWS

MAX_UNACKED = 2_000


class PoolShard:
    """Applies logs, and acknowledges them once the views they change are durable."""

    def __init__(self, partition: int, logic: PoolsLogic, producer: AIOKafkaProducer) -> None:
        self.logic = logic
        self.out = Delivery(partition, producer)
        self._unacked: list[Ackable] = []
        self._letters: list[Outgoing] = []
        self._flushing = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Return whether so much waits that it must be flushed now."""
        return len(self._unacked) >= MAX_UNACKED

    async def own(self) -> "PoolShard":
        """Write down that this generation owns the partition, before it writes anything else."""
        await self.out.send([(VIEWS, *owner(self.logic.generation))])
        await self.out.delivered()
        return self

    def apply(self, message: Input, event: Ackable) -> None:
        """Apply one log; nothing is sent or acknowledged yet."""
        for letter in self.logic.on_input(message):
            self._letters.append((DEAD_LETTERS, letter.key.encode(), codec.encode(letter)))
        self._unacked.append(event)

    async def emit(self, levels: range) -> None:
        """Do nothing: views go out with each flush."""

    async def flush(self) -> None:
        """Make everything applied so far durable, then acknowledge it."""
        async with self._flushing:
            if not self._unacked:
                return
            outgoing = self._letters + [(VIEWS, *entry) for entry in self.logic.drain()]
            events, self._unacked, self._letters = self._unacked, [], []
            await self.out.send(outgoing)
            await self.out.settle(events)

    async def release(self) -> None:
        """Leave nothing undone, as the partition is given up."""
        await self.flush()
