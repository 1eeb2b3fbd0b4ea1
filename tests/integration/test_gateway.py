"""The gateway as it is deployed: processes that share a port, over a real Kafka."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from candles import batch, candle
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chaintide.streams import codec
from chaintide.streams.admin import ensure_topics
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.partitions import partition_of
from chaintide.streams.topics import CANDLES

pytestmark = pytest.mark.broker
PARTITIONS = 3


@asynccontextmanager
async def gateway(kafka: KafkaConfig, folder: Path, port: int) -> AsyncIterator[int]:
    """Run ``chaintide gateway`` for this block and yield its process id."""
    command = [sys.executable, "-m", "chaintide.api.cli", "gateway", "--port", str(port)]
    environment = {
        **os.environ,
        "CHAINTIDE_KAFKA": kafka.bootstrap,
        "CHAINTIDE_PARTITIONS": str(PARTITIONS),
        "CHAINTIDE_DATA_DIR": str(folder),
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert b"/ws/v1" in await process.stdout.readline()
        yield process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await process.wait() in {0, -signal.SIGKILL}


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as free:
        return free.getsockname()[1]


async def client_of(port: int) -> ClientConnection:
    """Connect as soon as the gateway lets clients in."""
    async with asyncio.timeout(60):
        while True:
            try:
                client = await connect(f"ws://127.0.0.1:{port}/ws/v1", compression=None)
                await client.send('{"op":"ping"}')
                await client.recv()
            except (ConnectionClosed, InvalidStatus, OSError):
                await asyncio.sleep(0.1)
            else:
                return client


async def write(kafka: KafkaConfig, *minutes: int) -> None:
    async with AIOKafkaProducer(**kafka.client_options()) as producer:
        for minute in minutes:
            value = batch(candle(minute, revision=1), offset=minute)
            place = partition_of(value.market, PARTITIONS)
            await producer.send_and_wait(CANDLES.name, codec.encode(value), partition=place)


async def lines(client: ClientConnection, count: int) -> list[dict]:
    found: list[dict] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [json.loads(line) for line in (await client.recv()).split("\n")]
    return found


async def test_a_client_goes_on_at_another_gateway_when_its_own_is_killed(kafka, tmp_path, port):
    await ensure_topics(kafka, PARTITIONS)
    await write(kafka, 1, 2)
    channel = f"candles:{batch(candle(1)).market}:1m"
    async with gateway(kafka, tmp_path, port) as first:
        client = await client_of(port)
        await client.send(
            json.dumps({"op": "subscribe", "channels": [{"ch": channel, "snapshot": 2}]})
        )
        answer, snapshot = await lines(client, 2)
        assert [row["open_time_ms"] for row in snapshot["data"]] == [60_000, 120_000]
        await write(kafka, 3)
        [update] = await lines(client, 1)
        assert (update["prev"], update["data"]["open_time_ms"]) == (snapshot["seq"], 180_000)
        os.kill(first, signal.SIGKILL)
    await write(kafka, 4, 5)
    epoch = answer["results"][0]["epoch"]
    async with gateway(kafka, tmp_path, port), gateway(kafka, tmp_path, port):
        client = await client_of(port)
        resume = {"epoch": epoch, "seq": update["seq"]}
        await client.send(
            json.dumps({"op": "subscribe", "channels": [{"ch": channel, "resume": resume}]})
        )
        answer, *missed = await lines(client, 3)
        assert answer["results"][0]["recovered"] is True
        assert [row["data"]["open_time_ms"] for row in missed] == [240_000, 300_000]
        await client.close()
