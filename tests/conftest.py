"""Real servers: Kafka for the tests marked ``broker``, InfluxDB for those marked ``influx``."""

import asyncio
import os
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings
from influxd import CannotBuildError, Influxd, start_new

from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.kafka import KafkaConfig

# A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def no_neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What somebody runs on this machine is not found by tests, nor is theirs by anybody."""
    with pytest.MonkeyPatch.context() as surroundings:
        surroundings.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], AbstractEventLoop]]:
    """Every test has the event loop that the commands have."""
    return {"uvloop": uvloop.new_event_loop}


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


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """One InfluxDB for the whole run: that of ``CHAINTIDE_TEST_INFLUX_URL``, or our own."""
    if url := os.environ.get("CHAINTIDE_TEST_INFLUX_URL"):
        yield Influxd(url, token=os.environ["CHAINTIDE_TEST_INFLUX_TOKEN"])
        return
    with running_influx(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture
def mortal_influx(tmp_path: Path) -> Iterator[Influxd]:
    """An InfluxDB of the test's own, to be frozen and killed."""
    with running_influx(tmp_path / "influx") as server:
        yield server


@contextmanager
def running_influx(data_dir: Path) -> Iterator[Influxd]:
    try:
        server = start_new(data_dir)
    except CannotBuildError as error:
        pytest.skip(str(error))
    try:
        yield server
    finally:
        server.stop()
