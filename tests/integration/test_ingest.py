"""The whole way from a venue to Kafka, stopped and started again."""

import asyncio
import contextlib
import time

import pytest
from aiokafka import AIOKafkaConsumer

from chaintide.streams import codec, topics
from chaintide.streams.admin import ensure_topics
from chaintide.streams.feeds.ingest import FeedConfig, ingest
from chaintide.streams.feeds.resume import read_marks
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Heartbeat, Market, TradeBatch
from chaintide.streams.simulator.exchange import Settings
from chaintide.streams.simulator.server import Simulator

pytestmark = pytest.mark.broker
PARTITIONS = 3
MARKETS = [Market("kraken:BTC-USD"), Market("kraken:ETH-USD")]
Messages = list[tuple[int, object]]


class Clock:
    """The wall's clock, which may be put forward."""

    skipped_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1_000 + self.skipped_us

    def now_ms(self) -> int:
        return self.now_us() // 1_000


async def ingest_more(count: int, kafka: KafkaConfig, port: int, clock: Clock) -> None:
    """Run until the topic has ``count`` trades of each market more, and heartbeats."""
    feed = FeedConfig("kraken", MARKETS, f"ws://127.0.0.1:{port}/v2", f"http://127.0.0.1:{port}")
    had = await read(kafka)
    run = asyncio.create_task(
        ingest(
            kafka.client_options(),
            [feed],
            partitions=PARTITIONS,
            now_ms=clock.now_ms,
            statuses={},
        )
    )
    try:
        async with asyncio.timeout(60):
            while not has_more(count, had, await read(kafka)):  # noqa: ASYNC110  Kafka tells nobody
                await asyncio.sleep(0.1)
    finally:
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run


def has_more(count: int, had: Messages, has: Messages) -> bool:
    return promised(has) == set(range(PARTITIONS)) and all(
        len(ids_of(market, has)) >= len(ids_of(market, had)) + count for market in MARKETS
    )


def ids_of(market: Market, messages: Messages) -> list[int]:
    batches = [m for _, m in messages if isinstance(m, TradeBatch) and m.market == market]
    return [i for batch in batches for i in batch.ids]


def promised(messages: Messages) -> set[int]:
    return {p for p, m in messages if isinstance(m, Heartbeat) and m.market is None}


async def read(kafka: KafkaConfig) -> Messages:
    options = {"auto_offset_reset": "earliest", **kafka.client_options()}
    async with AIOKafkaConsumer(topics.TRADES.name, **options) as consumer:
        end = await consumer.end_offsets(list(consumer.assignment()))
        records = [await consumer.getone() for _ in range(sum(end.values()))]
    return [(record.partition, codec.decode_trades(record.value)) for record in records]


async def test_a_restart_goes_on_from_the_topic_without_a_hole_or_a_repeat(kafka):
    await ensure_topics(kafka, PARTITIONS)
    clock = Clock()
    exchange = Simulator(Settings(rate=50.0), now_us=clock.now_us)
    port = await exchange.start()
    try:
        await ingest_more(100, kafka, port, clock)
        clock.skipped_us += 2_500_000
        await ingest_more(200, kafka, port, clock)
        marks = await read_marks(kafka.client_options(), MARKETS, PARTITIONS)
    finally:
        await exchange.stop()
    messages = await read(kafka)
    for market in MARKETS:
        ids = ids_of(market, messages)
        assert ids == list(range(ids[0], ids[-1] + 1))
        homes = {p for p, m in messages if isinstance(m, TradeBatch) and m.market == market}
        assert homes == {partition_of(market, PARTITIONS)}
        assert marks[market].id == ids[-1]
    assert promised(messages) == set(range(PARTITIONS))
