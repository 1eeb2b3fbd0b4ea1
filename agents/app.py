"""The Faust worker: reads its inputs, keeps one shard per partition, writes results."""

import asyncio
import gc
import logging
import sys
from collections.abc import Iterable
from typing import Any

import faust
import uvloop
from aiokafka import AIOKafkaProducer
from faust.types import TP

from chaintide.agents.book import LEVELS
from chaintide.agents.crew import AnyShard, Crew, WorkerConfig
from chaintide.agents.partition import Input
from chaintide.streams.ending import ended_within
from chaintide.streams.errors import FatalError

GATHER_S = 0.002  # what comes together is sent together
EMIT_EVERY_S = 0.01
EMIT_ALL_EVERY_S = 0.1  # longer intervals than the shortest change as often, to less effect
FLUSH_EVERY_S = 0.5
STALL_S = 60.0
PARTING_S = 15.0
MAX_BUFFERED = 256  # messages of all agents, each of up to 64 KiB of records
logger = logging.getLogger(__name__)


class FaustWorker:
    """The shell around the shards: when they emit, flush, recover and are given up."""

    def __init__(self, config: WorkerConfig, crew: Crew) -> None:
        self.config = config
        self.app = _app(config)
        self.app.transport.Consumer = crew.consumer
        self.shards: dict[TP, AnyShard] = {}
        self._open_shard = crew.open
        self._share, self._gather_s = crew.share, crew.gather_s
        self._inputs = frozenset(topic.name for topic in crew.agents.values())
        self._silent_topics = frozenset(topic.name for topic in crew.silent)
        self._opening: dict[TP, asyncio.Task[AnyShard]] = {}
        self._silent: set[TP] = set()
        self._producer: AIOKafkaProducer | None = None
        self._has_news = asyncio.Event()
        self._starting = asyncio.Lock()
        for name, topic in crew.agents.items():
            inputs = self.app.topic(
                topic.name,
                key_type=bytes,
                value_type=bytes,
                key_serializer="raw",
                value_serializer="raw",
                partitions=config.partitions,
            )
            self.app.agent(inputs, name=name)(self._fold)
        self.app.task(self._emit_when_due)
        self.app.task(self._flush_when_due)
        self.app.timer(STALL_S / 6, name="watchdog")(self._watch)
        self.app.on_partitions_assigned.connect(self._assigned, weak=False)
        self.app.on_partitions_revoked.connect(self._revoked, weak=False)
        self.app.on_before_shutdown.connect(self._shutdown, weak=False)
        self._progress: dict[TP, tuple[int, float]] = {}

    async def _fold(self, stream: Any) -> None:  # noqa: ANN401  Faust's streams have no public type
        async for event in stream.noack().events():
            try:
                await self._on_event(event)
            except Exception as error:  # Faust would start the agent again and skip the event
                await self.app.crash(error)
                raise

    async def _on_event(self, event: Any) -> None:  # noqa: ANN401
        message = event.message
        tp = TP(message.topic, message.partition)
        shard = self.shards.get(tp) or await self._shard(tp)
        if shard is None:
            return  # the partition was taken away, its next owner reads this again
        records, message.value, event.value = message.value, None, None  # not kept until the ack
        with shard.out.whole_or_abandoned():
            for record in records:
                key, value = record.key or b"", record.value or b""
                read = Input(record.partition, record.offset, record.timestamp, key, value)
                shard.apply(read, event)  # acknowledged once, however often it is said
        self._has_news.set()
        if shard.is_full:
            await shard.flush()

    async def _assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:  # noqa: ANN401
        """Begin to recover partitions, silent ones excepted; inputs wait for theirs."""
        for tp in assigned:
            if tp.topic in self._inputs:
                self.shards.pop(tp, None)
                self._progress.pop(tp, None)
            if tp.topic in self._silent_topics:
                self._silent.add(tp)
            elif tp.topic in self._inputs:
                self._opening[tp] = asyncio.create_task(self._open(tp))

    async def _shard(self, tp: TP) -> AnyShard | None:
        """Wait for the recovery of ``tp``; None if it is not ours any more."""
        if tp in self._silent:
            self._silent.discard(tp)
            self._opening[tp] = asyncio.create_task(self._open(tp))
        opening = self._opening.get(tp)
        if opening is None:
            return None
        await asyncio.wait({opening})
        if self._opening.get(tp) is not opening:
            return None
        del self._opening[tp]
        shard = self.shards[tp] = opening.result()
        if not self._opening:
            gc.freeze()  # what stays is not searched for garbage again and again
        return shard

    async def _open(self, tp: TP) -> AnyShard:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self.config.kafka.producer_options(linger_ms=0), request_timeout_ms=30_000
                )
                await producer.start()
                self._producer = producer
        return await self._open_shard(self.config, tp, self._producer)

    # Faust crashes the app by itself when one of these two raises.
    async def _emit_when_due(self) -> None:
        """Emit from every shard whenever inputs were applied; it is not kept waiting by Kafka.

        One shard at a time sends all its intervals, so that the others need not wait for long.
        """
        loop = asyncio.get_running_loop()
        complete: dict[TP, float] = {}
        while not self.app.should_stop:
            await self._gather()
            began = loop.time()
            shards = list(self.shards.items())
            longest = min(self.shards, key=lambda tp: complete.get(tp, 0.0), default=None)
            for tp, shard in shards:
                if tp == longest and began >= complete.get(tp, 0.0) + EMIT_ALL_EVERY_S:
                    complete[tp] = began
                    await shard.emit(LEVELS)
                else:
                    await shard.emit(LEVELS[:1])
            cost = loop.time() - began
            await asyncio.sleep(max(EMIT_EVERY_S, cost / self._share - cost))

    async def _gather(self) -> None:
        """Wait for inputs, and for those that come right after them."""
        await self._has_news.wait()
        latest = asyncio.get_running_loop().time() + self._gather_s
        while self._has_news.is_set():
            self._has_news.clear()
            await asyncio.sleep(GATHER_S)
            if asyncio.get_running_loop().time() >= latest:
                break

    async def _flush_when_due(self) -> None:
        """Flush one shard after the other, each as often as is due."""
        while not self.app.should_stop:
            shards = list(self.shards.values())
            for shard in shards:
                await asyncio.sleep(FLUSH_EVERY_S / len(shards))
                await shard.flush()
            if not shards:
                await asyncio.sleep(FLUSH_EVERY_S)

    async def _revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:  # noqa: ANN401
        for tp in revoked:
            self._silent.discard(tp)
            if (opening := self._opening.pop(tp, None)) is not None:
                opening.cancel()
            if (shard := self.shards.pop(tp, None)) is not None:
                self._progress.pop(tp, None)
                await shard.release()

    async def _shutdown(self, _app: Any, **_: Any) -> None:  # noqa: ANN401
        """Give up all partitions, also those being recovered, before what writes for them ends."""
        openings, self._opening = list(self._opening.values()), {}
        shards, self.shards = list(self.shards.values()), {}
        self._silent.clear()
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        if not await ended_within(self._part(shards), PARTING_S):
            logger.warning("not all was made durable in %.0f s; it will be read again", PARTING_S)

    async def _part(self, shards: Iterable[AnyShard]) -> None:
        """Make everything durable and end what writes; without Kafka that takes for ever."""
        for shard in shards:
            await shard.release()
        if self._producer is not None:
            await self._producer.stop()

    async def _watch(self) -> None:
        """Crash if there is something to read and nothing has been read for a minute."""
        now = asyncio.get_running_loop().time()
        for tp in self.app.consumer.assignment():
            if tp.topic not in self._inputs or tp in self._opening:
                continue
            shard = self.shards.get(tp)
            offset = shard.logic.offset if shard else -1
            read = offset + 1 if offset >= 0 else (await self.app.consumer.position(tp)) or 0
            last, since = self._progress.get(tp, (-1, now))
            if read != last:
                since = now
            self._progress[tp] = (read, since)
            if (self.app.consumer.highwater(tp) or 0) > read and now - since > STALL_S:
                place = f"topic={tp.topic} partition={tp.partition} offset={offset}"
                text = f"no progress in {STALL_S:.0f} s ({place})"
                await self.app.crash(FatalError(text))


def _app(config: WorkerConfig) -> faust.App:
    options = config.kafka.faust_options()
    if sasl := config.kafka.sasl_options():
        options["broker_credentials"] = faust.SASLCredentials(**sasl)
    return faust.App(
        config.group,
        store="memory://",
        datadir=str(config.data_dir / "faust"),
        topic_partitions=config.partitions,
        web_enabled=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=MAX_BUFFERED,
        cython_optimizations=True,
        broker_commit_interval=1.0,
        # A worker restarted after kill -9 would else wait for its dead self to leave the group.
        broker_session_timeout=10,
        broker_heartbeat_interval=2,
        broker_max_poll_interval=300,
        consumer_group_instance_id=config.instance,
        consumer_auto_offset_reset="earliest",
        **options,
    )


def run_worker(config: WorkerConfig, crew: Crew) -> None:
    """Run one worker of ``crew`` until it is told to stop; raise ``SystemExit`` with its status."""
    uvloop.install()
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # Faust would have it write all
    config.data_dir.mkdir(parents=True, exist_ok=True)
    sys.setswitchinterval(crew.switch_s)
    worker = FaustWorker(config, crew)
    faust.Worker(
        worker.app, loglevel="warning", daemon=True, redirect_stdouts=False
    ).execute_from_commandline()
