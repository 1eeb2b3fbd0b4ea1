"""What looks at Kafka and at the store outlives whatever it sees there."""

import asyncio

import pytest
from candles import MARKET

from chaintide.api import watch as watching
from chaintide.api.rest.readiness import Surroundings
from chaintide.api.watch import Watch
from chaintide.sinks.memory import MemoryStore
from chaintide.streams.errors import RetryableError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import Market


class FailingStore(MemoryStore):
    """A store that fails in each of these ways, then answers."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.seen: list[str] = []
        self.surroundings = Surroundings()
        self.is_done = asyncio.Event()

    async def markets(self) -> list[Market]:
        self.seen.append(self.surroundings.store_fault)
        if self.errors:
            raise self.errors.pop(0)
        self.is_done.set()
        return [MARKET]


async def test_whatever_a_store_raises_is_its_fault_and_looking_goes_on(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(watching, "EVERY_S", 0.01)
    store = FailingStore(RetryableError("down"), KeyError("odd"), TimeoutError())
    watch = Watch(KafkaConfig(bootstrap="127.0.0.1:1"), store, {}, store.surroundings)
    looking = asyncio.create_task(watch.run())
    await asyncio.wait_for(store.is_done.wait(), 10)
    looking.cancel()
    await asyncio.wait({looking})
    assert store.seen == ["not looked at yet", "down", "KeyError 'odd'", "no answer"]
    assert store.surroundings.store_fault == ""
