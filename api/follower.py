"""The shell that keeps a view up to date with its topics, without a consumer group."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from chaintide.api.live.update import Update
from chaintide.api.precedence import Precedence
from chaintide.api.state.view import LogRecord, View
from chaintide.streams.admin import committed, ensure_topics
from chaintide.streams.ending import end_if_told
from chaintide.streams.epoch import read_epoch
from chaintide.streams.errors import FatalError, RetryableError
from chaintide.streams.feeds.backoff import Backoff
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import (
    ALIASES,
    ANOMALIES,
    CANDLES,
    FEEDS,
    PROBABILITIES,
    SCORES,
    TICKS,
    TRADES,
    VIEWS,
)

logger = logging.getLogger(__name__)

MINUTE_MS: Final = 60_000
CHANNELS_OF: Final = (TRADES, CANDLES, TICKS, FEEDS, PROBABILITIES, VIEWS)
DAY_MS: Final = 1_440 * MINUTE_MS
LOOK_BACK_MS: Final[dict[str, int | None]] = {
    TRADES.name: 10 * MINUTE_MS,
    CANDLES.name: 10 * MINUTE_MS,
    PROBABILITIES.name: 10 * MINUTE_MS,
    SCORES.name: None,
    ANOMALIES.name: 10 * MINUTE_MS,
    TICKS.name: 30 * MINUTE_MS,  # trending coins are read every ten minutes
    FEEDS.name: None,  # compacted: from its beginning, like those below
    ALIASES.name: None,
    VIEWS.name: None,
}
POLL_MS: Final = 200
GATHER_S: Final = 0.01  # clients are sent what came in at most every 100 ms
POLL_RECORDS: Final = 200  # requests wait while they are applied
PROMPT: Final = frozenset({PROBABILITIES.name})
PROMPT_RECORDS: Final = 2  # of 200 predictions
AT_ONCE: Final = 10  # records, then what is prompt has its turn
PROMPT_WAIT_MS: Final = 25  # Kafka keeps no question waiting for longer, so the next can be asked
EPOCH_EVERY_S: Final = 30.0
LONGEST_WAIT_S: Final = 10.0


@dataclass(slots=True, kw_only=True)
class Follower:
    """Reads trades, candles and ticks from ten minutes ago on, and never stops.

    Of feeds, names of markets and views, the last word on each.

    Candles it reads from where ``sinks`` has stored them, should that be longer ago, up to a day;
    before the first record ``load`` brings what is stored into the view.
    ``on_updates`` is told what each record changed. ``epoch`` is empty until Kafka has answered.
    ``caught_up`` is set once all is read that was there when it began; ``fault`` says why it
    does not read now, ``silence`` why nothing may come although it reads. A log that was made
    anew ends the process: what it knows is of another log.
    """

    kafka: KafkaConfig
    partitions: int
    view: View
    now_ms: Callable[[], int]
    on_updates: Callable[[Sequence[Update]], None]
    sinks: str
    load: Callable[[], Awaitable[None]]
    epoch: str = ""
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    fault: str = "not connected yet"
    silence: str = ""
    _next: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    _behind: set[TopicPartition] = field(default_factory=set[TopicPartition])
    _precedence: Precedence = field(default_factory=Precedence)
    _urgent: int = 0

    @property
    def lack(self) -> str:
        """Why the view is not up to date, or nothing."""
        if self.fault or self.silence:
            return self.fault or self.silence
        return "" if self.caught_up.is_set() else "still reading what was there"

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            ConfigError: If the topics are not as the settings say.
            FatalError: If the log is not the one that was read before.
        """
        backoff = Backoff(cap_s=LONGEST_WAIT_S)
        while True:
            end_if_told()
            try:
                await self._check()
                backoff.reset()
                await self._follow()
            except OffsetOutOfRangeError as error:
                raise FatalError(
                    f"the log does not reach back to where we read: {error}"
                ) from error
            except (KafkaError, RetryableError, OSError) as error:
                self.fault = str(error) or type(error).__name__
                wait_s = backoff.next_s(random.random)
                logger.warning("not following wait_s=%.2f reason=%s", wait_s, self.fault)
                await asyncio.sleep(wait_s)

    async def _check(self) -> None:
        """Make sure of the topics, and that they are those that were read before."""
        await ensure_topics(self.kafka, self.partitions)
        epoch = await read_epoch(self.kafka, CHANNELS_OF)
        if self.epoch not in {"", epoch}:
            raise FatalError(f"the log was made anew: its epoch is {epoch}, was {self.epoch}")
        self.epoch, self.silence = epoch, ""

    async def _follow(self) -> None:
        options = self.kafka.client_options() | {
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
        }
        consumer = AIOKafkaConsumer(**options)
        # Beside the many candles that close together, what is predicted from them would wait.
        prompt = AIOKafkaConsumer(**options, fetch_max_wait_ms=PROMPT_WAIT_MS)
        try:
            await consumer.start()
            await prompt.start()
            ends = await self._seek(consumer, prompt)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_epoch())
                tasks.create_task(self._read(consumer, ends, POLL_RECORDS))
                tasks.create_task(self._read(prompt, ends, PROMPT_RECORDS))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            await consumer.stop()
            await prompt.stop()

    async def _seek(
        self, consumer: AIOKafkaConsumer, prompt: AIOKafkaConsumer
    ) -> dict[TopicPartition, int]:
        """Go to where the last connection stopped, or back in time; return where topics end."""
        places = [TopicPartition(t, p) for t in LOOK_BACK_MS for p in range(self.partitions)]
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        starts = self._next or await self._starts(consumer, ends)
        for reader, is_prompt in ((consumer, False), (prompt, True)):
            own = [place for place in places if (place.topic in PROMPT) == is_prompt]
            reader.assign(own)
            for place in own:
                reader.seek(place, starts[place])
        self._next = dict(starts)
        self._behind = {place for place, end in ends.items() if starts[place] < end}
        return ends

    async def _starts(
        self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        # In this order: what is stored meanwhile is loaded, and read again.
        stored = await committed(self.kafka, self.sinks, CANDLES.name)
        await self.load()
        starts = await consumer.beginning_offsets(
            [place for place in ends if LOOK_BACK_MS[place.topic] is None]
        )
        starts |= await self._ago(consumer, ends, LOOK_BACK_MS)
        oldest = await self._ago(consumer, ends, {CANDLES.name: DAY_MS})
        for place, offset in oldest.items():
            starts[place] = max(offset, min(starts[place], stored[place.partition]))
        return dict(starts)

    async def _ago(
        self,
        consumer: AIOKafkaConsumer,
        ends: Mapping[TopicPartition, int],
        back_ms: Mapping[str, int | None],
    ) -> dict[TopicPartition, int]:
        """Return the first offsets that are not longer ago, where it says how long."""
        now_ms = self.now_ms()
        wanted = {
            place: max(0, now_ms - back)
            for place in ends
            if (back := back_ms.get(place.topic)) is not None
        }
        found = await consumer.offsets_for_times(wanted)
        return {
            place: ends[place] if offset is None else offset.offset
            for place, offset in found.items()
        }

    async def _read(
        self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], most: int
    ) -> None:
        own = consumer.assignment()
        while True:
            end_if_told()
            self.fault = ""
            if not self._behind:
                self.caught_up.set()
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=most)
            self.view.forecasts.on_time(self.now_ms())
            for place, records in polled.items():
                for first in range(0, len(records), AT_ONCE):
                    some = records[first : first + AT_ONCE]
                    self._apply(some)
                    self._next[place] = some[-1].offset + 1
                    await self._give_way(place.topic)
            for place in self._behind & own:
                # What was compacted away leaves holes, so the position says more than records.
                if await consumer.position(place) >= ends[place]:
                    self._behind.discard(place)
            is_full = sum(map(len, polled.values())) >= most
            is_prompt = most == PROMPT_RECORDS
            await asyncio.sleep(0 if self._behind or is_full or is_prompt else GATHER_S)

    async def _give_way(self, topic: str) -> None:
        """Let candles wait while predictions come of others that closed with them."""
        now_s, urgent = asyncio.get_running_loop().time(), self.view.forecasts.urgent
        if urgent != self._urgent:
            self._urgent = urgent
            self._precedence.on_urgent(now_s=now_s)
        await asyncio.sleep(self._precedence.wait_s(now_s=now_s) if topic == CANDLES.name else 0)

    def _apply(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.value is not None:
                read = LogRecord(
                    record.topic, record.offset, record.timestamp, record.value, record.partition
                )
                if updates := self.view.on_record(read):
                    self.on_updates(updates)

    async def _watch_epoch(self) -> None:
        while True:
            end_if_told()
            await asyncio.sleep(EPOCH_EVERY_S)
            try:
                epoch = await read_epoch(self.kafka, CHANNELS_OF)
            except RetryableError as error:
                self.silence = str(error)  # polls go on and find nothing
                continue
            self.silence = ""
            if epoch != self.epoch:
                raise FatalError(f"the log was made anew: its epoch is {epoch}, was {self.epoch}")
