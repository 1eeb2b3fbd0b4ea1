"""The shell that moves candles, forecasts and anomalies from their topics into a store."""

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from chaintide.sinks import intake
from chaintide.sinks.forecast_store import Store
from chaintide.streams import codec, topics
from chaintide.streams.errors import RetryableError
from chaintide.streams.feeds.backoff import Backoff
from chaintide.streams.records import DeadLetter

logger = logging.getLogger(__name__)

POLL_MS: Final = 200
POLL_RECORDS: Final = 2_000
GATHER_S: Final = 0.05  # a commit costs the same for many records as for one
LONGEST_WAIT_S: Final = 15.0  # well below the 5 minutes after which a silent member is expelled
SESSION_TIMEOUT_MS: Final = 10_000
RESULTS: Final = (topics.CANDLES, topics.PROBABILITIES, topics.SCORES, topics.ANOMALIES)
Poll = Mapping[TopicPartition, list[Any]]


@dataclass(slots=True)
class SinkCounts:
    """What one sink has done."""

    records: int = 0
    dead_letters: int = 0
    writes: int = 0
    retries: int = 0


async def run_sink(
    kafka_options: Mapping[str, Any],
    store: Store,
    *,
    group: str = "chaintide-sink",
    instance_id: str | None = None,
    stop: asyncio.Event,
) -> SinkCounts:
    """Store what comes in the topics of results until ``stop``, and return what was done.

    A record is committed after the store has it. While the store is down nothing is held:
    the sink goes back to what is not stored yet and reads it again. ``group`` may run any
    number of times, and its members share the partitions.

    Raises:
        FatalError: If the store says that waiting will not help.
    """
    consumer = AIOKafkaConsumer(
        group_id=group,
        group_instance_id=instance_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        **kafka_options,
    )
    producer = AIOKafkaProducer(**kafka_options)
    sink = _Sink(consumer, producer, store)
    consumer.subscribe([topic.name for topic in RESULTS], listener=sink)
    try:
        await producer.start()
        await consumer.start()
        await sink.run(stop)
    finally:
        await consumer.stop()
        await producer.stop()
    logger.info("sink stopped counts=%s", sink.counts)
    return sink.counts


class _Sink(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(
        self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, store: Store
    ) -> None:
        self.counts = SinkCounts()
        self._consumer = consumer
        self._producer = producer
        self._store = store
        self._writing = asyncio.Lock()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        # The next owner starts after what is being written is stored and committed.
        async with self._writing:
            logger.info("partitions revoked count=%d", len(list(revoked)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        logger.info("partitions assigned count=%d", len(list(assigned)))

    async def run(self, stop: asyncio.Event) -> None:
        backoff = Backoff(cap_s=LONGEST_WAIT_S)
        while not stop.is_set():
            poll = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            if not poll:
                continue
            try:
                async with self._writing:
                    await self._take(poll)
                backoff.reset()
            except RetryableError as error:
                wait_s = max(error.retry_after_s, backoff.next_s(random.random))
                logger.warning("store down wait_s=%.2f reason=%s", wait_s, error)
                self.counts.retries += 1
                self._go_back(poll)
                await _wait(stop, wait_s)
            if sum(map(len, poll.values())) < POLL_RECORDS:
                await _wait(stop, GATHER_S)

    async def _take(self, poll: Poll) -> None:
        taken = intake.read(record for records in poll.values() for record in records)
        await self._store.write(taken.batches)
        if taken.predictions or taken.scores:
            await self._store.write_forecasts(taken.predictions, taken.scores)
        if taken.anomalies:
            await self._store.write_anomalies(taken.anomalies)
        await self._bury(taken.dead_letters)
        await self._commit({tp: records[-1].offset + 1 for tp, records in poll.items()})
        self.counts.writes += 1
        self.counts.records += sum(map(len, poll.values()))
        self.counts.dead_letters += len(taken.dead_letters)

    async def _bury(self, dead_letters: list[DeadLetter]) -> None:
        for letter in dead_letters:
            logger.warning(
                "dead letter topic=%s partition=%d offset=%d reason=%s",
                letter.topic,
                letter.partition,
                letter.offset,
                letter.reason,
            )
            await self._producer.send_and_wait(
                topics.DEAD_LETTERS.name, codec.encode(letter), key=letter.key.encode()
            )

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            # Its partitions have a new owner, who writes the same again: harmless.
            logger.warning("not committed reason=%s", error)

    def _go_back(self, poll: Poll) -> None:
        for tp in self._consumer.assignment() & poll.keys():
            self._consumer.seek(tp, poll[tp][0].offset)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
