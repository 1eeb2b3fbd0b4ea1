"""Faust's consumer, without four of its delays."""

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from mode.services import WaitResults

FULL_S: Final = 0.005


class _Thread(AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust has no types
    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:  # noqa: ANN401
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.consumer.fetch_wait_ms  # noqa: SLF001  Faust has no setting for it
        return consumer


class PromptConsumer(Consumer):  # type: ignore[misc]  # Faust has no types
    """Fetches and hands over at once what there is.

    Faust starts four tasks to hand over one message. It sleeps for a second when the buffers of
    all partitions are full, which are empty long before; where only some are full it waits for
    the others for as long, though nothing may come there. And while messages wait to be handed
    over, aiokafka asks for partitions without any, and for no others before Kafka has answered:
    it does after 1.5 s at the latest, here after 0.1 s.
    """

    fetch_wait_ms = 100

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def wait_first(self, *coros: Any, **options: Any) -> WaitResults:  # noqa: ANN401
        """Hand a message over at once where nothing can make it wait."""
        app = self.app
        must_wait = (
            len(coros) != 2
            or self.suspend_flow.is_set()
            or not app.flow_control.is_active()
            or any(channel.queue.full() for channel in app.topics)
        )
        if must_wait:
            return await super().wait_first(*coros, **options)
        handed_over, suspended = coros
        suspended.close()
        return WaitResults([handed_over], [await handed_over], stopped=False)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ANN401, ASYNC109
        if self.flow_active and not self._get_active_partitions():
            await asyncio.sleep(FULL_S)
            return {}, set()
        if self._buffered_partitions:
            timeout = min(timeout, FULL_S)
        return await super()._wait_next_records(timeout)


class ImpatientConsumer(PromptConsumer):
    """Asks Kafka again sooner, for what comes all at once after a silence."""

    fetch_wait_ms = 25
