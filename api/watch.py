"""The shell that looks at Kafka, at the store, and at how far the other roles are behind."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chaintide.api.rest.readiness import Surroundings
from chaintide.sinks.candle_store import CandleStore
from chaintide.streams.admin import lag
from chaintide.streams.errors import ChaintideError
from chaintide.streams.kafka import KafkaConfig

logger = logging.getLogger(__name__)
EVERY_S: Final = 5.0
PATIENCE_S: Final = 10.0


@dataclass(slots=True)
class Watch:
    """Looks every 5 s and writes down what it saw.

    ``groups`` is the consumer group of each role and the topic that it reads.
    """

    kafka: KafkaConfig
    store: CandleStore
    groups: Mapping[str, tuple[str, str]]
    surroundings: Surroundings

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.gather(self._look_at_kafka(), self._look_at_store())
            await asyncio.sleep(EVERY_S)

    async def _look_at_kafka(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                behind = {
                    role: await lag(self.kafka, group, topic)
                    for role, (group, topic) in self.groups.items()
                }
        except Exception as error:  # a look must not end what it looks after
            self.surroundings.kafka_fault = _fault("kafka", error)
            return
        self.surroundings.messages_behind = behind
        self.surroundings.kafka_fault = ""

    async def _look_at_store(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.store.markets()
        except Exception as error:  # as above
            self.surroundings.store_fault = _fault("store", error)
            return
        self.surroundings.store_fault = ""


def _fault(name: str, error: Exception) -> str:
    if not isinstance(error, ChaintideError | OSError):
        logger.error("not looked at name=%s", name, exc_info=error)
        return f"{type(error).__name__} {error}".strip()
    return str(error) or "no answer"
