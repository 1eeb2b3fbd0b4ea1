"""The sink on a real Kafka: nothing is lost, nothing is written twice."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from candles import batch, candle, gap
from influxd import Influxd

from chaintide.sinks import runner
from chaintide.sinks.candle_store import CandleStore
from chaintide.sinks.influx import InfluxConfig, InfluxStore
from chaintide.sinks.memory import MemoryStore
from chaintide.sinks.runner import SinkCounts, run_sink
from chaintide.sinks.sqlite import SqliteStore
from chaintide.streams import codec, topics
from chaintide.streams.admin import ensure_topics, lag
from chaintide.streams.errors import FatalError, RetryableError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import CandleBatch, DeadLetter, Market

pytestmark = pytest.mark.broker
PARTITIONS = 3
_numbers = count()


class FragileStore(MemoryStore):
    """Raises ``error`` as long as there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.largest_write = 0

    async def write(self, batches: Sequence[CandleBatch]) -> None:
        self.largest_write = max(self.largest_write, len(batches))
        if self.error is not None:
            raise self.error
        await super().write(batches)


class SharedStore(SqliteStore):
    """Knows whether it was used, while others write to the same file."""

    has_written = False

    async def write(self, batches: Sequence[CandleBatch]) -> None:
        await super().write(batches)
        self.has_written = True


@dataclass
class World:
    """The topic as one test sees it, from where it is when the test begins."""

    kafka: KafkaConfig
    group: str
    markets: list[Market]

    def updates(self, start: int, stop: int) -> list[CandleBatch]:
        """Return updates of all markets; each minute is written three times."""
        return [
            batch(
                candle(i // 3, market=market, close=str(i), revision=i % 3),
                offset=i,
                gaps=[gap(i, market=market)] if i % 50 == 0 else [],
            )
            for i in range(start, stop)
            for market in self.markets
        ]

    async def produce(self, values: Sequence[CandleBatch | bytes]) -> None:
        async with AIOKafkaProducer(linger_ms=5, **self.kafka.client_options()) as producer:
            for value in values:
                is_raw = isinstance(value, bytes)
                raw, key = (
                    (value, b"junk") if is_raw else (codec.encode(value), value.market.encode())
                )
                await producer.send(topics.CANDLES.name, raw, key=key)

    @asynccontextmanager
    async def sink(self, store: CandleStore) -> AsyncIterator["asyncio.Task[SinkCounts]"]:
        stop = asyncio.Event()
        options = self.kafka.client_options()
        task = asyncio.create_task(run_sink(options, store, group=self.group, stop=stop))
        yield task
        stop.set()
        await asyncio.wait([task], timeout=60)

    async def lag(self) -> int:
        return await lag(self.kafka, self.group, topics.CANDLES.name)

    async def drained(self) -> None:
        await eventually(self.is_drained)

    async def is_drained(self) -> bool:
        return await self.lag() == 0

    async def state(self, store: CandleStore) -> dict[str, object]:
        return {m: (await store.candles(m, "1m"), await store.gaps(m)) for m in self.markets}

    async def clean_state(self, batches: Sequence[CandleBatch]) -> dict[str, object]:
        """Return what a store has that was written to without any trouble."""
        store = MemoryStore()
        for each in batches:
            await store.write([each])
        return await self.state(store)


async def eventually(is_true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_true():  # noqa: ASYNC110  # the truth is in another process
            await asyncio.sleep(0.05)


@pytest.fixture
async def world(kafka: KafkaConfig) -> World:
    await ensure_topics(kafka, PARTITIONS)
    name = f"test{next(_numbers)}"
    group = f"sink-{name}"
    await begin_at_end(kafka, group)
    return World(kafka, group, [Market(f"{name}:COIN{i}-USD") for i in range(7)])


async def begin_at_end(kafka: KafkaConfig, group: str) -> None:
    """Let ``group`` pass by what other tests have left in the topic."""
    options = kafka.client_options()
    places = [TopicPartition(topics.CANDLES.name, partition) for partition in range(PARTITIONS)]
    async with AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **options) as consumer:
        consumer.assign(places)
        await consumer.commit(await consumer.end_offsets(places))


async def test_what_is_written_is_what_a_clean_store_has(world: World):
    batches, store = world.updates(0, 100), MemoryStore()
    await world.produce(batches)
    async with world.sink(store) as task:
        await world.drained()
    assert await world.state(store) == await world.clean_state(batches)
    assert task.result().records == len(batches)
    assert task.result().writes < len(batches) / 10


async def test_a_stopped_sink_has_committed_what_it_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "POLL_RECORDS", 10)
    await world.produce(world.updates(0, 100))
    store = MemoryStore()
    async with world.sink(store) as first:
        await eventually(lambda: _has_some(store))
    assert 0 < first.result().records < 700
    assert await world.lag() == 700 - first.result().records
    async with world.sink(store):
        await world.drained()
    assert await world.state(store) == await world.clean_state(world.updates(0, 100))


async def test_a_sink_killed_again_and_again_ends_like_a_clean_one(world: World, tmp_path: Path):
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from chaintide.sinks import runner\n"
        "from chaintide.sinks.sqlite import SqliteStore\n"
        "runner.POLL_RECORDS = 5\n"
        "async def main():\n"
        "    store = SqliteStore(Path(sys.argv[3]))\n"
        "    options = {'bootstrap_servers': sys.argv[1]}\n"
        "    await runner.run_sink(options, store, group=sys.argv[2],\n"
        "        instance_id='one', stop=asyncio.Event())\n"
        "asyncio.run(main())\n"
    )
    batches, path = world.updates(0, 600), tmp_path / "test.sqlite"
    await world.produce(batches)
    store = SqliteStore(path)
    for quarter in (1, 2, 3, 4):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, world.kafka.bootstrap, world.group, path
        )
        await eventually(partial(_is_behind, world, len(batches) * (4 - quarter) // 4))
        process.kill()
        await process.wait()
    assert await world.state(store) == await world.clean_state(batches)
    await store.close()


async def test_nothing_is_lost_while_the_store_is_down(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "POLL_RECORDS", 50)
    store = FragileStore(RetryableError("down", retry_after_s=0))
    await world.produce(world.updates(0, 100))
    async with world.sink(store) as task:
        await eventually(lambda: _is_true(store.largest_write > 0))
        await world.produce(world.updates(100, 200))
        assert await world.lag() == 1400
        store.error = None
        await eventually(lambda: _has_some(store))
        store.error = RetryableError("down again", retry_after_s=0)
        await asyncio.sleep(0.5)
        store.error = None
        await world.drained()
    assert await world.state(store) == await world.clean_state(world.updates(0, 200))
    assert task.result().retries >= 1
    assert store.largest_write <= 50


@pytest.mark.influx
async def test_nothing_is_lost_while_influxdb_is_killed(
    world: World, mortal_influx: Influxd, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "POLL_RECORDS", 50)
    server = mortal_influx
    config = InfluxConfig(server.url, server.org, server.new_bucket(), server.token)
    store, batches = InfluxStore(config), world.updates(0, 400)
    await world.produce(batches[:1400])
    async with world.sink(store) as task:
        await eventually(lambda: _has_some(store))
        server.kill()
        await world.produce(batches[1400:])
        await asyncio.sleep(1)
        assert await world.lag() > 0
        await asyncio.to_thread(server.start)
        await world.drained()
    assert task.result().retries > 0
    assert await world.state(store) == await world.clean_state(batches)
    await store.close()


async def test_what_cannot_be_understood_becomes_a_dead_letter(world: World):
    batches = world.updates(0, 20)
    await world.produce([*batches[:70], b'{"no": "candle"}', *batches[70:]])
    store = FragileStore(RetryableError("down", retry_after_s=0))
    async with world.sink(store) as task:
        await eventually(lambda: _is_true(store.largest_write > 0))
        store.error = None
        await world.drained()
    assert await world.state(store) == await world.clean_state(batches)
    letters = await _dead_letters(world.kafka)
    mine = [letter for letter in letters if letter.value == '{"no": "candle"}']
    assert [(letter.topic, letter.key) for letter in mine] == [(topics.CANDLES.name, "junk")]
    assert mine[0].reason.startswith("malformed: ")
    assert await _value_at(world.kafka, mine[0]) == b'{"no": "candle"}'
    assert task.result().dead_letters == 1


async def test_sinks_of_a_group_share_the_work(world: World, tmp_path: Path):
    batches = world.updates(0, 1000)
    stores = [SharedStore(tmp_path / "test.sqlite") for _ in range(2)]
    async with world.sink(stores[0]), world.sink(stores[1]):
        for first in range(0, len(batches), 70):
            await world.produce(batches[first : first + 70])
            await asyncio.sleep(0 if all(store.has_written for store in stores) else 0.2)
        await world.drained()
    assert [store.has_written for store in stores] == [True, True]
    assert await world.state(stores[0]) == await world.clean_state(batches)
    for store in stores:
        await store.close()


async def test_a_fatal_error_ends_the_sink_and_commits_nothing(world: World):
    await world.produce(world.updates(0, 1))
    async with world.sink(FragileStore(FatalError("broken"))) as task:
        with pytest.raises(FatalError, match="broken"):
            await asyncio.wait_for(task, 30)
    assert await world.lag() == 7


async def _is_true(value: bool) -> bool:
    return value


async def _has_some(store: CandleStore) -> bool:
    return bool(await store.markets())


async def _is_behind(world: World, at_most: int) -> bool:
    return await world.lag() <= at_most


async def _dead_letters(kafka: KafkaConfig) -> list[DeadLetter]:
    topic = topics.DEAD_LETTERS.name
    async with AIOKafkaConsumer(**kafka.client_options()) as consumer:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        left = sum((await consumer.end_offsets(places)).values())
        decoder = msgspec.json.Decoder(DeadLetter)
        return [decoder.decode((await consumer.getone()).value) for _ in range(left)]


async def _value_at(kafka: KafkaConfig, letter: DeadLetter) -> bytes | None:
    async with AIOKafkaConsumer(**kafka.client_options()) as consumer:
        place = TopicPartition(letter.topic, letter.partition)
        consumer.assign([place])
        consumer.seek(place, letter.offset)
        value: bytes | None = (await consumer.getone()).value
        return value
