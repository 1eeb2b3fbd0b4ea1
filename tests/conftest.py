"""Real brokers for the tests that are marked ``broker``."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.kafka import KafkaConfig


@contextmanager
def running_broker(data_dir: Path) -> Iterator[KafkaConfig]:
    broker = EmbeddedBroker(data_dir)
    try:
        yield asyncio.run(broker.start())
    finally:
        asyncio.run(broker.stop())


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaConfig]:
    """One Kafka for the whole run; its topics are shared."""
    with running_broker(tmp_path_factory.mktemp("broker")) as config:
        yield config


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaConfig]:
    """A fresh Kafka for one module."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as config:
        yield config
