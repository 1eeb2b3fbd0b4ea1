"""Records of one partition on their way to Kafka."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer

from chaintide.streams.topics import Topic

Outgoing = tuple[Topic, bytes | None, bytes | None]


class Ackable(Protocol):
    """A message of the input stream that can be acknowledged."""

    def ack(self) -> bool:
        """Let the offset of the message be committed."""
        ...


class Delivery:
    """Sends records to one partition of any topic, and waits until Kafka has them."""

    def __init__(self, partition: int, producer: AIOKafkaProducer) -> None:
        self._partition = partition
        self._producer = producer
        self._under_way: list[asyncio.Future[Any]] = []
        self._is_abandoned = False

    async def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Send records in their order."""
        if self._is_abandoned:
            return
        with self.whole_or_abandoned():
            for topic, key, value in outgoing:
                delivery = await self._producer.send(
                    topic.name, value, key=key, partition=self._partition
                )
                self._under_way.append(delivery)

    async def delivered(self) -> None:
        """Wait until Kafka has all that was sent."""
        under_way, self._under_way = self._under_way, []
        with self.whole_or_abandoned():
            await asyncio.gather(*under_way)

    async def settle(self, events: Iterable[Ackable], changelog: Iterable[Outgoing] = ()) -> None:
        """Wait for what was sent, then write ``changelog`` in the same way, then ack ``events``.

        The changelog says "applied", so nothing of it may be durable before the results are.
        """
        await self.delivered()
        await self.send(changelog)
        await self.delivered()
        if not self._is_abandoned:
            for event in events:
                event.ack()

    @contextmanager
    def whole_or_abandoned(self) -> Iterator[None]:
        """Abandon everything if this block is not done to its end, for whatever reason."""
        try:
            yield
        except BaseException:  # also if cancelled: half of it may have been done
            self.abandon()
            raise

    def abandon(self) -> None:
        """Send and acknowledge nothing any more.

        Something was lost on the way, or applied in part: what comes after it must be read again
        by the next owner, who begins after what was acknowledged before.
        """
        self._is_abandoned = True
