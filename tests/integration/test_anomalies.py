"""A real detector on a real Kafka: killed again and again, it tells what it would have told."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from anomalies import Street

from chaintide.agents.anomalies.changelog import AnomalyRecovery
from chaintide.agents.anomalies.partition import AnomaliesLogic
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.admin import ensure_topics
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.chain.records import ChainLog
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import Final, Market, TradeBatch, Undo
from chaintide.streams.topics import ANOMALIES, CHAIN, TRADES

pytestmark = [pytest.mark.broker, pytest.mark.slow]
POOL = Market("5151:0xa1/0x01")
ROUNDS, KILLS = 2_400, 3
_batches = msgspec.json.Decoder(AnomalyBatch)
Record = TradeBatch | Undo | Final


def world() -> list[Record]:
    """Return trades of an exchange and of a pool, with something strange now and then."""
    street, pool = Street(seed=5), Street(POOL, seed=6, rate=1.0)
    records: list[Record] = []
    for turn in range(ROUNDS):
        is_strange = turn > ROUNDS // 2 and turn % 90 == 0
        records.append(street.one(size=900.0) if is_strange else street.message(4))
        records.append(
            pool.one(size=900.0, trader=f"0xn{turn}", block=turn + 1)
            if is_strange
            else pool.message(2, people=40, block=turn + 1)
        )
        if turn % 180 == 95:
            records.append(Undo(chain="5151", to_number=turn - 10, epoch=1))
    # The chain ends after every block was taken back, so that each is told of once more or gone.
    return [*records, Undo(chain="5151", to_number=ROUNDS - 20, epoch=1)]


def start(kafka: KafkaConfig, data_dir: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "CHAINTIDE_KAFKA": kafka.bootstrap,
        "CHAINTIDE_PARTITIONS": "1",
    }
    command = [sys.executable, "-m", "chaintide.api.cli", "detect", "--data-dir", str(data_dir)]
    return subprocess.Popen(command, env=environment)


class Reader:
    """The last form of each anomaly that a detector has told of so far."""

    def __init__(self, kafka: KafkaConfig) -> None:
        options = kafka.client_options() | {"auto_offset_reset": "earliest", "group_id": None}
        self.consumer = AIOKafkaConsumer(ANOMALIES.name, **options)
        self.told: dict[str, Anomaly] = {}

    async def until(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not is_enough():
                for records in (await self.consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        for one in _batches.decode(record.value).anomalies:
                            self.told[one.anomaly_id] = one


async def test_kills_do_not_change_what_is_told(kafka: KafkaConfig, tmp_path: Path):
    await ensure_topics(kafka, 1)
    records = [codec.encode(record) for record in world()]
    clean = AnomaliesLogic(TRADES, 2.0, AnomalyRecovery(TRADES))
    wanted: dict[str, Anomaly] = {}
    parts: list[dict[str, Anomaly]] = []
    step = len(records) // (KILLS + 1)
    for offset, value in enumerate(records):
        clean.on_input(Input(0, offset, 10**13, b"", value))
        for batch in clean.drain():
            wanted |= {one.anomaly_id: one for one in batch.anomalies}
        if (offset + 1) % step == 0:
            parts.append(dict(wanted))
    assert {one.status for one in wanted.values()} == {"raised", "withdrawn"}
    reader = Reader(kafka)
    await reader.consumer.start()
    process = await asyncio.to_thread(start, kafka, tmp_path)
    try:
        async with AIOKafkaProducer(**kafka.client_options()) as producer:
            for place in range(KILLS + 1):
                last = place == KILLS
                for value in records[place * step :] if last else records[place * step :][:step]:
                    await producer.send(TRADES.name, value, key=b"k", partition=0)
                await producer.flush()
                if not last:
                    reached = parts[place]
                    await reader.until(lambda told=reached: told.keys() <= reader.told.keys())
                    # Every other time it has a chance to write down what it knows.
                    process.send_signal(signal.SIGTERM if place == 1 else signal.SIGKILL)
                    await asyncio.to_thread(process.wait, 60)
                    process = await asyncio.to_thread(start, kafka, tmp_path)
            await reader.until(lambda: reader.told == wanted)
            await producer.send_and_wait(CHAIN.name, log(1), key=b"k", partition=0)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    finally:
        process.kill()
        process.wait()
        await reader.consumer.stop()
    assert reader.told == wanted


def log(number: int) -> bytes:
    return codec.encode(
        ChainLog(
            chain="5151",
            number=number,
            block_hash="0xb",
            time_ms=number,
            log_index=0,
            tx_hash="0x",
            tx_index=0,
            address="0xv",
            stream="0xv",
            event="Deposited",
            args={"amount": "5"},
            epoch=1,
        )
    )
