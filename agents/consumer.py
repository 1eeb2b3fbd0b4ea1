"""Faust's consumer, without six of its delays."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP
from mode.services import WaitResults

from chaintide.streams.ending import ended_within

FULL_S: Final = 0.005
LAST_COMMIT_S: Final = 5.0
MAX_TOGETHER_BYTES: Final = 65_536  # a few milliseconds of work
Records = tuple[ConsumerRecord, ...]


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
    it does after 1.5 s at the latest, here after 0.1 s. And what Faust does for one message takes
    it a tenth of a millisecond: here one of its messages is all the records of a partition that
    came together, up to 64 KiB. Its value is ``Records``, its offset that of the last.

    Whoever works at a partition acknowledges its messages in their order.
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
        records, active = await super()._wait_next_records(timeout)
        return {tp: list(together(found)) for tp, found in records.items()}, active

    def _to_message(self, tp: TP, record: Records) -> Any:  # noqa: ANN401
        message = super()._to_message(tp, record[-1])
        message.key, message.value = None, record
        return message

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: the offsets between those of two messages are those of their records."""

    async def commit_and_end_transactions(self) -> None:
        """Commit, at the end, but do not wait for a Kafka that has gone: that has no end."""
        await ended_within(super().commit_and_end_transactions(), LAST_COMMIT_S)

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        newest = max(acked, default=None)
        acked.clear()
        self._acked_index[tp].clear()
        return None if newest is None else newest + 1


def together(records: Iterable[ConsumerRecord]) -> Iterator[Records]:
    """Yield records of one partition by so many as are worked at in one go.

    >>> from collections import namedtuple
    >>> Sized = namedtuple("Sized", "value")
    >>> [len(some) for some in together([Sized(b"x" * 30_000)] * 5)]
    [3, 2]
    """
    some: list[ConsumerRecord] = []
    size = 0
    for record in records:
        some.append(record)
        size += len(record.value or b"")
        if size >= MAX_TOGETHER_BYTES:
            yield tuple(some)
            some, size = [], 0
    if some:
        yield tuple(some)


class ImpatientConsumer(PromptConsumer):
    """Asks Kafka again sooner, for what comes all at once after a silence."""

    fetch_wait_ms = 25
