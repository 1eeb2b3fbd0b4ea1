"""The follower against a real Kafka: where it begins, what it survives, when it gives up."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from candles import MARKET, batch, candle
from forecasts import prediction

from chaintide.api import follower as following
from chaintide.api.follower import Follower
from chaintide.api.live.update import Update
from chaintide.api.state.view import View
from chaintide.streams import codec, topics
from chaintide.streams.admin import end_offsets, ensure_topics
from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.epoch import read_epoch
from chaintide.streams.errors import FatalError, RetryableError
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.partitions import partition_of

pytestmark = pytest.mark.broker
PARTITIONS = 3
NOW_MS = 10**13
SINKS = "sinks"


class Told:
    """Everything a follower said, and a way to wait until it has said enough."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.changed = asyncio.Event()

    def __call__(self, updates: Sequence[Update]) -> None:
        self.updates += updates
        self.changed.set()

    async def until(self, is_enough: Callable[[list[Update]], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_enough(self.updates):
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path_factory.mktemp("follower"))
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


async def nothing() -> None:
    """Load nothing."""


def new_follower(
    kafka: KafkaConfig, now_ms: int, told: Told, load: Callable[[], Awaitable[None]] = nothing
) -> Follower:
    return Follower(
        kafka=kafka,
        partitions=PARTITIONS,
        view=View(),
        now_ms=lambda: now_ms,
        on_updates=told,
        sinks=SINKS,
        load=load,
    )


@asynccontextmanager
async def following_to(
    kafka: KafkaConfig, now_ms: int, load: Callable[[], Awaitable[None]] = nothing
) -> AsyncIterator[tuple[Follower, Told]]:
    told = Told()
    follower = new_follower(kafka, now_ms, told, load)
    running = asyncio.create_task(follower.run())
    yield follower, told
    running.cancel()
    await asyncio.wait({running})


async def write(kafka: KafkaConfig, topic: topics.Topic, value: object, partition: int) -> None:
    async with AIOKafkaProducer(**kafka.client_options()) as producer:
        await producer.send_and_wait(
            topic.name, codec.encode(value), key=b"kraken", partition=partition
        )


async def write_candle(kafka: KafkaConfig, minute: int) -> None:
    home = partition_of(MARKET, PARTITIONS)
    await write(kafka, topics.CANDLES, batch(candle(minute), offset=minute), home)


def minutes(updates: list[Update]) -> list[object]:
    return [u.key for u in updates if u.channel == f"candles:{MARKET}:1m"]


async def test_it_begins_in_the_past_and_goes_on_after_the_broker_was_restarted(
    own_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(following, "EPOCH_EVERY_S", 0.1)
    kafka = await own_broker.start()
    await ensure_topics(kafka, PARTITIONS)
    report = FeedStatus("kraken", [MARKET]).report(now_ms=1)
    await write(kafka, topics.FEEDS, report, 0)
    await write_candle(kafka, 1)
    async with following_to(kafka, now_ms=0) as (follower, told):
        await told.until(lambda updates: minutes(updates) == [60_000])
        await told.until(lambda updates: any(u.channel == "status" for u in updates))
        assert len(follower.epoch) == 8
        await own_broker.stop()
        async with asyncio.timeout(60):
            while not follower.lack:  # noqa: ASYNC110  a property has no event
                await asyncio.sleep(0.05)
        for _ in range(20):  # several polls long
            await asyncio.sleep(0.05)
            assert follower.lack, "without Kafka the view is not up to date"
        kafka = await own_broker.start()
        await write_candle(kafka, 2)
        await told.until(lambda updates: minutes(updates) == [60_000, 120_000])
        seqs = [u.seq for u in told.updates if u.channel == f"candles:{MARKET}:1m"]
        assert seqs == [1_000, 2_000]
        assert follower.caught_up.is_set()
        async with asyncio.timeout(60):
            while follower.lack:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.05)


async def test_what_is_older_than_ten_minutes_is_left_to_the_store(own_broker: EmbeddedBroker):
    kafka = await own_broker.start()
    await ensure_topics(kafka, PARTITIONS)
    async with following_to(kafka, now_ms=NOW_MS) as (follower, told):
        await asyncio.wait_for(follower.caught_up.wait(), 60)
        assert {u.channel for u in told.updates} <= {"status"}, "feeds from their beginning"
        await write_candle(kafka, 9)
        await told.until(lambda updates: minutes(updates) == [540_000])


async def test_candles_that_are_not_stored_yet_are_read_however_old(own_broker: EmbeddedBroker):
    kafka = await own_broker.start()
    await ensure_topics(kafka, PARTITIONS)
    home = TopicPartition(topics.CANDLES.name, partition_of(MARKET, PARTITIONS))
    end = (await end_offsets(kafka, home.topic))[home.partition]
    for minute in (20, 21, 22):
        await write_candle(kafka, minute)

    async def commit(offset: int) -> None:
        async with AIOKafkaConsumer(
            group_id=SINKS, enable_auto_commit=False, **kafka.client_options()
        ) as consumer:
            consumer.assign([home])
            await consumer.commit({home: offset})

    async def sink_goes_on() -> None:
        await commit(end + 3)

    in_an_hour_ms = int(time.time() * 1000) + 3_600_000
    await commit(end + 1)
    async with following_to(kafka, in_an_hour_ms, sink_goes_on) as (follower, told):
        await asyncio.wait_for(follower.caught_up.wait(), 60)
        assert minutes(told.updates) == [21 * 60_000, 22 * 60_000]
    async with following_to(kafka, in_an_hour_ms) as (follower, told):
        await asyncio.wait_for(follower.caught_up.wait(), 60)
        assert minutes(told.updates) == [], "all is stored"
    await commit(end + 1)
    async with following_to(kafka, in_an_hour_ms + following.DAY_MS) as (follower, told):
        await asyncio.wait_for(follower.caught_up.wait(), 60)
        assert minutes(told.updates) == [], "a day is enough"


async def test_a_topic_made_anew_is_another_log_and_ends_it(
    own_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(following, "EPOCH_EVERY_S", 0.1)
    kafka = await own_broker.start()
    await ensure_topics(kafka, PARTITIONS)
    first = await read_epoch(kafka, topics.ALL)
    assert first == await read_epoch(kafka, topics.ALL)
    follower = new_follower(kafka, 0, Told())
    running = asyncio.create_task(follower.run())
    await asyncio.wait_for(follower.caught_up.wait(), 60)
    admin = AIOKafkaAdminClient(**kafka.client_options())
    await admin.start()
    await admin.delete_topics([topics.TICKS.name])
    await admin.close()
    async with asyncio.timeout(60):
        while True:
            try:
                await ensure_topics(kafka, PARTITIONS)
                second = await read_epoch(kafka, topics.ALL)
            except RetryableError:
                continue
            break
    assert second != first
    with pytest.raises(FatalError, match="made anew"):
        await asyncio.wait_for(running, 60)


async def test_a_prediction_expires_though_nothing_is_in_the_log(own_broker: EmbeddedBroker):
    kafka = await own_broker.start()
    await ensure_topics(kafka, PARTITIONS)
    said = prediction(NOW_MS // 60_000)  # later than any record here
    channel = f"prob:{said.market}:{said.interval}"
    for now_ms, count in ((said.expires_at - 1, 1), (said.expires_at, 0)):
        async with following_to(kafka, now_ms) as (follower, _):
            view = follower.view
            view.catalogue.on_market(said.market)
            view.forecasts.on_prediction(said)
            async with asyncio.timeout(60):
                while not view.forecasts.heard_ms:  # noqa: ASYNC110  a clock has no event
                    await asyncio.sleep(0.01)
            found = view.snapshot(channel, 10)
            assert found is not None
            assert len(found.data) == count


async def test_another_cluster_is_another_log(own_broker: EmbeddedBroker, tmp_path: Path):
    kafka = await own_broker.start()
    await ensure_topics(kafka, PARTITIONS)
    other = EmbeddedBroker(tmp_path / "other")
    elsewhere = await other.start()
    try:
        with pytest.raises(RetryableError, match="no topic"):
            await read_epoch(elsewhere, [topics.TRADES])
        await ensure_topics(elsewhere, PARTITIONS)
        assert await read_epoch(kafka, topics.ALL) != await read_epoch(elsewhere, topics.ALL)
    finally:
        await other.stop()
    with pytest.raises(RetryableError, match="does not answer"):
        await read_epoch(elsewhere, topics.ALL)
