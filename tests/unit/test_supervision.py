"""Watching over roles ends when it is told to."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from chaintide.api import supervisor
from chaintide.api.supervisor import Supervisor
from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.kafka import KafkaConfig


class Deaf(EmbeddedBroker):
    """A broker whose client loses a cancellation, as Kafka's does once in a while."""

    times_asked = 0

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.is_asked = asyncio.Event()

    async def start(self) -> KafkaConfig:
        self.times_asked += 1
        self.is_asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return KafkaConfig(bootstrap="127.0.0.1:9")


async def test_a_lost_cancellation_does_not_keep_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervisor, "CHECK_S", 0.0)
    broker = Deaf(tmp_path)
    watching = asyncio.create_task(Supervisor(tmp_path, {}, broker).watch(lambda _: None))
    await broker.is_asked.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(watching, 5)
    assert broker.times_asked == 1
