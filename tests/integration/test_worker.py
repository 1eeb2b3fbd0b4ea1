"""A real worker on a real Kafka: bad input, quiet markets, and a clean end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from chaintide.agents import app
from chaintide.agents.app import FaustWorker
from chaintide.agents.changelog import Recovery
from chaintide.agents.crew import AnyShard, Crew, WorkerConfig
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.agents.shard import Shard
from chaintide.streams import codec
from chaintide.streams.admin import ensure_topics, lag
from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import Candle, CandleBatch, DeadLetter, Heartbeat
from chaintide.streams.topics import CANDLES, DEAD_LETTERS, TRADES

pytestmark = pytest.mark.broker
PARTITIONS = 2
WEEK_US = 7 * 86_400_000_000


@asynccontextmanager
async def worker(kafka: KafkaConfig, data_dir: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    await ensure_topics(kafka, PARTITIONS)
    environment = {
        **os.environ,
        "CHAINTIDE_KAFKA": kafka.bootstrap,
        "CHAINTIDE_PARTITIONS": str(PARTITIONS),
    }
    command = [sys.executable, "-m", "chaintide.api.cli", "worker", "--data-dir", str(data_dir)]
    process = await asyncio.to_thread(subprocess.Popen, command, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)


async def send(kafka: KafkaConfig, *values: bytes | None) -> None:
    async with AIOKafkaProducer(**kafka.client_options()) as producer:
        for value in values:
            await producer.send_and_wait(TRADES.name, value, key=b"key", partition=1)


async def read(kafka: KafkaConfig, topic: str, is_enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Return the values of ``topic`` once there are enough of them."""
    found: list[bytes] = []
    options = kafka.client_options() | {"auto_offset_reset": "earliest", "group_id": None}
    async with AIOKafkaConsumer(topic, **options) as consumer, asyncio.timeout(60):
        while not is_enough(found):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [record.value for record in records]
    return found


def trade(market: str, n: int, time_us: int, **changes: object) -> bytes:
    fields = {"market": market, "trade_id": n, "time_us": time_us, "price": "5", "size": "1"}
    return json.dumps(fields | changes).encode()


def newest(values: list[bytes], market: str) -> dict[tuple[str, int], Candle]:
    decode = msgspec.json.Decoder(CandleBatch).decode
    candles = [c for value in values for c in decode(value).candles if c.market == market]
    return {(candle.interval, candle.open_time_ms): candle for candle in candles}


async def test_bad_input_is_buried_with_its_coordinates_and_the_agent_goes_on(
    kafka: KafkaConfig, tmp_path: Path
):
    now_us = time.time_ns() // 1000
    async with worker(kafka, tmp_path):
        await send(
            kafka,
            b"{broken",
            trade("kraken:BAD", 1, now_us, price=5),
            trade("kraken:BAD", 2, now_us, price="-5"),
            trade("kraken:BAD", 3, now_us + WEEK_US),
            None,
            trade("kraken:GOOD", 4, now_us),
        )
        values = await read(kafka, CANDLES.name, lambda found: bool(newest(found, "kraken:GOOD")))
        buried = await read(kafka, DEAD_LETTERS.name, lambda found: len(found) >= 5)
    letters = [msgspec.json.decode(value, type=DeadLetter) for value in buried]
    assert [(d.topic, d.partition, d.offset) for d in letters] == [
        (TRADES.name, 1, offset) for offset in range(5)
    ]
    wanted = ["malformed", "Expected `str`", "price is not above 0", "in the future", "malformed"]
    assert all(part in d.reason for part, d in zip(wanted, letters, strict=True))
    assert newest(values, "kraken:BAD") == {}


async def test_a_quiet_market_closes_by_heartbeats_and_a_stop_leaves_nothing_behind(
    kafka: KafkaConfig, tmp_path: Path
):
    minute_us = 60_000_000
    start_us = (time.time_ns() // 1000 // minute_us - 5) * minute_us
    async with worker(kafka, tmp_path) as process:
        await send(
            kafka,
            trade("coinbase:QUIET", 1, start_us),
            codec.encode(Heartbeat(venue="coinbase", time_us=start_us + 3 * minute_us)),
        )

        def has_closed(found: list[bytes]) -> bool:
            candle = newest(found, "coinbase:QUIET").get(("1m", start_us // 1000 + 120_000))
            return candle is not None and candle.status == "closed"

        values = await read(kafka, CANDLES.name, has_closed)
    assert process.returncode == 0
    assert await lag(kafka, "chaintide-candles", TRADES.name) == 0
    minutes = [c for (i, _), c in sorted(newest(values, "coinbase:QUIET").items()) if i == "1m"]
    assert [(c.status, c.fill, c.close) for c in minutes] == [
        ("closed", "traded", "5"),
        ("closed", "carry", "5"),
        ("closed", "carry", "5"),
    ]


class Event:
    is_acked = False

    def ack(self) -> bool:
        self.is_acked = True
        return True


def config_of(kafka: KafkaConfig, data_dir: Path) -> WorkerConfig:
    return WorkerConfig(
        kafka=kafka,
        instance="one",
        partitions=PARTITIONS,
        group="ending",
        data_dir=data_dir,
        grace_ms=0,
        horizon_ms=0,
        started_s=0,
    )


async def test_what_is_being_recovered_is_given_up_before_the_producer_when_a_worker_ends(
    kafka: KafkaConfig, tmp_path: Path
):
    await ensure_topics(kafka, PARTITIONS)
    recovering, told = asyncio.Event(), list[int]()

    async def recover(_: WorkerConfig, tp: TP, producer: AIOKafkaProducer) -> AnyShard:
        recovering.set()
        try:
            await asyncio.Event().wait()  # there is much to read
        finally:
            place = await producer.send_and_wait(CANDLES.name, b"{}", partition=tp.partition)
            told.append(place.partition)
        raise AssertionError

    config = config_of(kafka, tmp_path)
    worker = FaustWorker(config, Crew({"candles": TRADES}, silent=frozenset(), open=recover))
    await worker.app.on_partitions_assigned.send({TP(TRADES.name, 1)})
    async with asyncio.timeout(60):
        await recovering.wait()
        await worker.app.on_before_shutdown.send()
    assert told == [1]
    assert worker.shards == {}


async def test_a_worker_ends_though_kafka_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(app, "PARTING_S", 0.5)
    broker, opened = EmbeddedBroker(tmp_path), list[Shard]()

    async def recover(config: WorkerConfig, tp: TP, producer: AIOKafkaProducer) -> AnyShard:
        shard = Shard(tp.partition, PartitionLogic(config.rules, Recovery()), producer)
        opened.append(shard)
        return await shard.own()

    kafka = await broker.start()
    try:
        await ensure_topics(kafka, PARTITIONS)
        worker = FaustWorker(
            config_of(kafka, tmp_path), Crew({"candles": TRADES}, silent=frozenset(), open=recover)
        )
        place = TP(TRADES.name, 1)
        await worker.app.on_partitions_assigned.send({place})
        async with asyncio.timeout(60):
            assert await worker._shard(place) is not None
    finally:
        await broker.stop()
    message = Input(1, 0, 0, b"", codec.encode(Heartbeat(venue="kraken", time_us=1)))
    event = Event()
    opened[0].apply(message, event)
    await opened[0].out.send([(CANDLES, None, b"{}")])
    async with asyncio.timeout(10):
        await worker.app.on_before_shutdown.send()
    assert "not all was made durable" in caplog.text
    assert not event.is_acked
