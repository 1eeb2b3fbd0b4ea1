"""One partition of trades or logs in a detector, and what is durable before they are acked."""

import asyncio

from aiokafka import AIOKafkaProducer

from chaintide.agents.anomalies.changelog import owner_entry
from chaintide.agents.anomalies.partition import AnomaliesLogic
from chaintide.agents.delivery import Ackable, Delivery, Outgoing
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.topics import ANOMALIES, ANOMALY_STATE

MAX_UNACKED = 20_000
SNAPSHOT_EVERY_S = 10.0


class AnomalyShard:
    """Says at once what is strange, and every ten seconds makes durable what it has learned.

    The order then: anomalies delivered, state delivered, ``ack``.
    """

    def __init__(self, partition: int, logic: AnomaliesLogic, producer: AIOKafkaProducer) -> None:
        self.logic = logic
        self.out = Delivery(partition, producer)
        self._unacked: list[Ackable] = []
        self._flushing = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._saved_s = asyncio.get_running_loop().time()
        self._is_leaving = False

    @property
    def is_full(self) -> bool:
        """Return whether so much waits that it must be made durable now."""
        return len(self._unacked) >= MAX_UNACKED

    async def own(self) -> "AnomalyShard":
        """Write down that this generation owns the partition, before it writes anything else."""
        entry = owner_entry(self.logic.source, self.logic.generation)
        await self.out.send([(ANOMALY_STATE, *entry)])
        await self.out.delivered()
        return self

    def apply(self, message: Input, event: Ackable) -> None:
        """Judge one message; nothing is sent or acknowledged yet."""
        self.logic.on_input(message)
        self._unacked.append(event)

    async def emit(self, levels: range) -> None:  # noqa: ARG002  all at once
        """Send what is strange."""
        async with self._sending:
            await self.out.send(self._results())

    async def flush(self) -> None:
        """If it is time, make everything durable and acknowledge it."""
        async with self._flushing:
            if not self._unacked or not self._is_due():
                return
            async with self._sending:
                # Taken in one step: inputs applied while sending belong to the next snapshot.
                results = self._results()
                changelog = [(ANOMALY_STATE, *entry) for entry in self.logic.checkpoint()]
                events, self._unacked = self._unacked, []
                await self.out.send(results)
            await self.out.settle(events, changelog)
            self._saved_s = asyncio.get_running_loop().time()

    async def release(self) -> None:
        """Make everything durable now, as the partition is given up."""
        self._is_leaving = True
        await self.flush()

    def _is_due(self) -> bool:
        since_s = asyncio.get_running_loop().time() - self._saved_s
        return self._is_leaving or self.is_full or since_s >= SNAPSHOT_EVERY_S

    def _results(self) -> list[Outgoing]:
        return [
            (ANOMALIES, batch.market.encode(), codec.encode(batch)) for batch in self.logic.drain()
        ]
