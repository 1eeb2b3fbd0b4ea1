"""An embedded Kafka for one measurement: fill a topic, watch another one grow, read it back."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from chaintide.streams.admin import ensure_topics
from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Market

PARTITIONS = 4
SINGLES, FIGURES = "singles", "figures"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running broker with empty topics, and a directory for whoever uses it."""

    kafka: KafkaConfig
    home: Path

    def write(self, topic: str, messages: Iterable[tuple[Market, bytes]]) -> None:
        """Write every message to the partition of its market; return once all are stored."""
        producer = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "linger.ms": 20,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1 << 18,
            }
        )
        places: dict[Market, int] = {}
        for market, value in messages:
            place = places.get(market)
            if place is None:
                place = places[market] = partition_of(market, PARTITIONS)
            while not _put(producer, topic, market, value, place):
                producer.poll(0.05)
        producer.flush()

    async def watch(self, topic: str) -> AsyncIterator[int]:
        """Yield how many messages ``topic`` has, twenty times a second."""
        places = _places(topic)
        async with AIOKafkaConsumer(**self.kafka.client_options()) as consumer:
            while True:
                yield sum((await consumer.end_offsets(places)).values())
                await asyncio.sleep(0.05)

    async def read(self, topic: str) -> list[tuple[int, bytes]]:
        """Return the time, in ms, and the value of every message of ``topic``."""
        places = _places(topic)
        found: list[tuple[int, bytes]] = []
        options = {"auto_offset_reset": "earliest", "max_partition_fetch_bytes": 16 << 20}
        async with AIOKafkaConsumer(**self.kafka.client_options(), **options) as consumer:
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                while await consumer.position(place) < ends[place]:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += [(r.timestamp, r.value) for r in records]
        return found


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Start a broker with nothing in it and throw it away afterwards."""
    with TemporaryDirectory() as home:
        broker = EmbeddedBroker(Path(home))
        try:
            kafka = await broker.start()
            await ensure_topics(kafka, PARTITIONS)
            admin = AIOKafkaAdminClient(**kafka.client_options())
            await admin.start()
            now = {"message.timestamp.type": "LogAppendTime"}  # not the time of the trade
            await admin.create_topics(
                [
                    NewTopic(SINGLES, PARTITIONS, 1),
                    NewTopic(FIGURES, PARTITIONS, 1, topic_configs=now),
                ]
            )
            await admin.close()
            yield Cluster(kafka, Path(home))
        finally:
            await broker.stop()


def _put(producer: Producer, topic: str, market: Market, value: bytes, place: int) -> bool:
    try:
        producer.produce(topic, value, key=market, partition=place)
    except BufferError:
        return False
    return True


def _places(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, n) for n in range(PARTITIONS)]
