import asyncio
import os
import signal
import socket
import subprocess
import sys

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from processes import is_alive

from chaintide.streams import topics
from chaintide.streams.admin import ensure_topics
from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.errors import ConfigError, FatalError
from chaintide.streams.kafka import KafkaConfig

pytestmark = pytest.mark.broker
TOPIC = topics.TRADES.name

PARENT = """
import asyncio, sys
from pathlib import Path
from chaintide.streams.broker import EmbeddedBroker

async def main():
    broker = EmbeddedBroker(Path(sys.argv[1]))
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def write(config: KafkaConfig, value: bytes) -> None:
    async with AIOKafkaProducer(**config.client_options()) as producer:
        await producer.send_and_wait(TOPIC, value)


async def read(config: KafkaConfig) -> list[bytes]:
    options = {"auto_offset_reset": "earliest", **config.client_options()}
    async with AIOKafkaConsumer(TOPIC, **options) as consumer:
        end = await consumer.end_offsets(list(consumer.assignment()))
        records = [await consumer.getone() for _ in range(sum(end.values()))]
    return [record.value for record in records]


async def until_dead(pid: int) -> None:
    async with asyncio.timeout(60):
        while is_alive(pid):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.02)


async def test_what_was_written_survives_a_stop_and_a_kill(tmp_path):
    broker = EmbeddedBroker(tmp_path)
    try:
        config = await broker.start()
        first = broker.pid
        await ensure_topics(config, 2)
        await write(config, b"before the stop")

        await broker.stop()
        assert not is_alive(first)
        assert not broker.is_owner

        assert await broker.start() == config
        await write(config, b"before the kill")
        os.kill(broker.pid, signal.SIGKILL)
        await until_dead(broker.pid)

        assert await broker.start() == config
        assert sorted(await read(config)) == [b"before the kill", b"before the stop"]
    finally:
        await broker.stop()


async def test_a_cluster_id_may_begin_with_a_hyphen(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        ports = {"port": one.getsockname()[1], "controller_port": other.getsockname()[1]}
    (tmp_path / "kafka").mkdir()
    node = msgspec.json.encode({"cluster_id": "-Dbu_BJFQ7CNMKJLkJJ6-Q", **ports})
    (tmp_path / "kafka/broker.json").write_bytes(node)
    broker = EmbeddedBroker(tmp_path)
    try:
        assert (await broker.start()).bootstrap == f"127.0.0.1:{ports['port']}"
    finally:
        await broker.stop()


async def test_two_starters_at_once_share_one_broker(tmp_path):
    brokers = [EmbeddedBroker(tmp_path), EmbeddedBroker(tmp_path)]
    try:
        one, other = await asyncio.gather(*(broker.start() for broker in brokers))
        assert one == other
        assert brokers[0].pid == brokers[1].pid
        assert sorted(broker.is_owner for broker in brokers) == [False, True]
        [guest] = [broker for broker in brokers if not broker.is_owner]
        await guest.stop()
        assert is_alive(guest.pid)
    finally:
        for broker in brokers:
            await broker.stop()


def test_the_broker_dies_with_a_parent_that_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    asyncio.run(until_dead(pid))


async def test_a_taken_port_is_explained(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = {"cluster_id": "x" * 22, "port": port, "controller_port": port + 1}
        (tmp_path / "kafka").mkdir()
        (tmp_path / "kafka/broker.json").write_bytes(msgspec.json.encode(node))
        broker = EmbeddedBroker(tmp_path)
        with pytest.raises(ConfigError, match=f"port {port} .* is taken"):
            await broker.start()
    assert not broker.is_owner


async def test_a_data_directory_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "kafka").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot keep its data in"):
        await EmbeddedBroker(tmp_path).start()


async def test_a_broker_that_cannot_start_says_why(tmp_path):
    (tmp_path / "kafka/logs").mkdir(parents=True)
    (tmp_path / "kafka/logs/meta.properties").write_text("version=1\ncluster.id=other\nnode.id=7\n")
    with pytest.raises(FatalError, match=r"did not start: [\s\S]*Stored node id"):
        await EmbeddedBroker(tmp_path).start()
