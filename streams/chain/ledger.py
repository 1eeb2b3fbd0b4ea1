"""The block log and the topics of one chain in Kafka: read to the end, written in order."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from chaintide.streams import codec
from chaintide.streams.chain.publishing import Outgoing, Plan
from chaintide.streams.chain.records import BlockMessage
from chaintide.streams.errors import BadRecordError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import BLOCKS

_records = msgspec.json.Decoder(BlockMessage)


class Ledger:
    """Where a follower writes, and what it and others have written to the block log."""

    def __init__(
        self, chain: str, partition: int, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer
    ) -> None:
        self._chain = chain
        self._place = TopicPartition(BLOCKS.name, partition)
        self._producer = producer
        self._consumer = consumer
        self.notes = 0  # how often something was written to the block log

    async def read(self) -> list[BlockMessage]:
        """Return the chain's records in the block log since the last call, up to its end now."""
        end = (await self._consumer.end_offsets([self._place]))[self._place]
        found: list[BlockMessage] = []
        while await self._consumer.position(self._place) < end:
            batches = await self._consumer.getmany(self._place, timeout_ms=1_000)
            for record in batches.get(self._place, []):
                if record.key == self._chain.encode():
                    found += _decoded(record.value or b"")
        return found

    async def write(self, plan: Plan) -> None:
        """Write a plan; each of its parts is acknowledged before the next is begun."""
        for phase in plan:
            lanes: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
            for out in phase:
                lanes[out.topic.name, out.partition].append(out)
            await asyncio.gather(*[self._send(*place, lane) for place, lane in lanes.items()])

    async def _send(self, topic: str, partition: int, lane: list[Outgoing]) -> None:
        """Send records of one partition in batches of our own making.

        Handed over one by one they would take longer than all that was done to them before.
        """
        sent: list[asyncio.Future[Any]] = []
        batch = self._producer.create_batch()
        for out in lane:
            key, value = out.key.encode(), codec.encode(out.record)
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        sent.append(await self._producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
        self.notes += topic == BLOCKS.name


def _decoded(value: bytes) -> list[BlockMessage]:
    try:
        return [codec.decode(_records, value)]
    except BadRecordError:
        return []  # of a newer program; ours are always of this shape


@asynccontextmanager
async def ledger(kafka: KafkaConfig, chain: str, partition: int) -> AsyncIterator[Ledger]:
    """Open the ledger of ``chain``, whose block log is in ``partition``."""
    producer = AIOKafkaProducer(**kafka.producer_options(linger_ms=2))
    consumer = AIOKafkaConsumer(
        **kafka.client_options(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with producer, consumer:
        place = TopicPartition(BLOCKS.name, partition)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        yield Ledger(chain, partition, producer, consumer)
