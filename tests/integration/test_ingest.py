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


async def ingest_for(seconds: float, kafka: KafkaConfig, port: int) -> None:
    feed = FeedConfig("kraken", MARKETS, f"ws://127.0.0.1:{port}/v2", f"http://127.0.0.1:{port}")
    run = ingest(
        kafka.client_options(),
        [feed],
        partitions=PARTITIONS,
        now_ms=lambda: time.time_ns() // 1_000_000,
        statuses={},
    )
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(run, seconds)


async def read(kafka: KafkaConfig) -> list[tuple[int, object]]:
    options = {"auto_offset_reset": "earliest", **kafka.client_options()}
    async with AIOKafkaConsumer(topics.TRADES.name, **options) as consumer:
        end = await consumer.end_offsets(list(consumer.assignment()))
        records = [await consumer.getone() for _ in range(sum(end.values()))]
    return [(record.partition, codec.decode_trades(record.value)) for record in records]


async def test_a_restart_goes_on_from_the_topic_without_a_hole_or_a_repeat(kafka):
    await ensure_topics(kafka, PARTITIONS)
    exchange = Simulator(Settings(rate=50.0), now_us=lambda: time.time_ns() // 1000)
    port = await exchange.start()
    try:
        await ingest_for(2.5, kafka, port)
        await asyncio.sleep(2.5)
        await ingest_for(2.5, kafka, port)
        marks = await read_marks(kafka.client_options(), MARKETS, PARTITIONS)
    finally:
        await exchange.stop()
    messages = await read(kafka)
    for market in MARKETS:
        batches = [
            (partition, message)
            for partition, message in messages
            if isinstance(message, TradeBatch) and message.market == market
        ]
        ids = [i for _, batch in batches for i in batch.ids]
        assert ids == list(range(ids[0], ids[-1] + 1))
        assert len(ids) > 200
        assert {partition for partition, _ in batches} == {partition_of(market, PARTITIONS)}
        assert marks[market].id == ids[-1]
    promised = {p for p, m in messages if isinstance(m, Heartbeat) and m.market is None}
    assert promised == set(range(PARTITIONS))
