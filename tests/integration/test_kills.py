"""kill -9 of every process at random moments: the store must equal a recompute of the topic."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from processes import is_alive
from rich.console import Console

from chaintide.agents.book import Rules
from chaintide.agents.changelog import Recovery
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.api import machine, roles
from chaintide.api.publishing import Pace, Publisher
from chaintide.api.replay import Replay, progress_bar
from chaintide.api.settings import Settings, read_settings
from chaintide.api.supervisor import Supervisor
from chaintide.streams import codec, recording
from chaintide.streams.admin import end_offsets, lag
from chaintide.streams.errors import RetryableError
from chaintide.streams.intervals import INTERVALS
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import Candle, Heartbeat, Market
from chaintide.streams.topics import CANDLES, LATE, TRADES, Topic

pytestmark = [pytest.mark.broker, pytest.mark.slow]
TRADES_WRITTEN = 200_000
MARKETS = 40
ROUNDS = 10
RECORDED_S = 6_000
START_US = 1_700_400_000_000_000


def write_trades(
    path: Path, seed: int, count: int = TRADES_WRITTEN, late_us: int = 90_000_000
) -> None:
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as out:
        out.write("market,trade_id,time_us,price,size,side\n")
        for n in range(count):
            time_us = START_US + n * RECORDED_S * 1_000_000 // count
            time_us -= rng.choice([0, 0, 0, 1_000, 3_000_000, late_us])
            price, size = rng.randint(90_000, 110_000) / 100, rng.randint(1, 10**8)
            line = f"sim:M{n % MARKETS}-USD,{n // MARKETS},{time_us},{price},{size / 10**8:.8f},"
            out.write(line + rng.choice(("buy", "sell")) + "\n")


async def recompute(kafka: KafkaConfig, rules: Rules) -> dict[tuple[str, str, int], Candle]:
    """Return what the logic makes of the topic, in one go and without a fault."""
    expected: dict[tuple[str, str, int], Candle] = {}
    logics: dict[int, PartitionLogic] = {}
    consumer = AIOKafkaConsumer(
        TRADES.name, **kafka.client_options(), auto_offset_reset="earliest", group_id=None
    )
    async with consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                logic = logics.setdefault(tp.partition, PartitionLogic(rules, Recovery()))
                for r in records:
                    logic.on_input(Input(tp.partition, r.offset, r.timestamp, r.key, r.value))
    for logic in logics.values():
        for batch in logic.drain():
            expected |= {(c.market, c.interval, c.open_time_ms): c for c in batch.candles}
    return expected


async def stored(settings: Settings) -> dict[tuple[str, str, int], Candle]:
    found: dict[tuple[str, str, int], Candle] = {}
    async with roles.store(settings) as store:
        for market in await store.markets():
            for interval in INTERVALS:
                for candle in await store.candles(Market(market), interval):
                    found[market, interval, candle.open_time_ms] = candle
    return found


async def until_read(kafka: KafkaConfig, group: str, topic: Topic) -> None:
    behind = True
    while behind:
        await asyncio.sleep(0.5)
        with suppress(RetryableError):  # the broker may just have been killed
            behind = bool(await lag(kafka, group, topic.name))


async def kill_everything(supervisor: Supervisor, rng: random.Random) -> Counter[str]:
    """In every round kill -9 broker, sink and one worker, each at a moment of its own."""
    kills: Counter[str] = Counter()
    workers = [role.name for role in supervisor.roles if role.name.startswith("worker")]
    for _ in range(ROUNDS):
        for name in rng.sample(["broker", "sink-1", rng.choice(workers)], 3):
            await asyncio.sleep(rng.uniform(0.1, 2.0))
            await kill_once_up(supervisor, name)
            kills[name.partition("-")[0]] += 1
    return kills


async def kill_once_up(supervisor: Supervisor, name: str) -> None:
    while not kill(supervisor, name):  # noqa: ASYNC110  nothing tells of a start
        await asyncio.sleep(0.1)


def kill(supervisor: Supervisor, name: str) -> bool:
    """Kill a process and return whether there was one."""
    children = {role.name: role.child and role.child.pid for role in supervisor.roles}
    pid = supervisor.broker_pid if name == "broker" else children[name]
    if pid is None or not is_alive(pid):
        return False
    os.kill(pid, signal.SIGKILL)
    return True


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [1, 2])
async def test_killed_processes_leave_the_store_as_a_clean_run_does(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
):
    seed = 11 + workers
    file = tmp_path / "trades.csv"
    write_trades(file, seed)
    monkeypatch.setenv("CHAINTIDE_PARTITIONS", "4")
    settings = read_settings().model_copy(update={"data_dir": tmp_path / "data"})
    log: list[str] = []
    progress = progress_bar(Console(quiet=True))
    async with machine.running(settings, workers, log.append) as (kafka, supervisor):
        replay = Replay(kafka, settings.partitions, lambda: time.time_ns() // 10**6, progress)
        publishing = asyncio.create_task(replay.publish([file], RECORDED_S / 150))
        while not (progress.tasks and progress.tasks[0].completed):  # noqa: ASYNC110  as above
            await asyncio.sleep(0.05)
        kills = await kill_everything(supervisor, random.Random(seed))
        await publishing
        async with asyncio.timeout(240):
            await until_read(kafka, roles.WORKERS_GROUP, TRADES)
            await until_read(kafka, roles.SINKS_GROUP, CANDLES)
        expected, found = await recompute(kafka, Rules()), await stored(settings)
    assert kills == {"broker": ROUNDS, "sink": ROUNDS, "worker": ROUNDS}, log
    assert replay.result.trades == TRADES_WRITTEN
    counted = sum(c.trades for (_, interval, _), c in found.items() if interval == "1w")
    assert counted == TRADES_WRITTEN
    assert found == expected


def read_trades(path: Path) -> list[recording.Row]:
    lines = path.read_text("utf-8").splitlines()
    return [row for row in recording.read(lines) if isinstance(row, recording.Row)]


async def publish_with_heartbeats(
    kafka: KafkaConfig, partitions: int, rows: list[recording.Row], speed: float
) -> None:
    """Publish ``rows`` with a heartbeat into every partition after each minute or so."""
    newest_us = 0
    async with AIOKafkaProducer(**kafka.client_options(), enable_idempotence=True) as producer:
        publisher = Publisher(producer, partitions, lambda: time.time_ns() // 10**6, Pace(speed))
        for number, row in enumerate(rows, 1):
            await publisher.publish(row)
            newest_us = max(newest_us, row.time_us)
            if number % 200 == 0:
                await publisher.finish()
                value = codec.encode(Heartbeat(venue="sim", time_us=newest_us))
                for partition in range(partitions):
                    await producer.send(TRADES.name, value, key=b"sim", partition=partition)
        await publisher.finish()


@pytest.mark.timeout(300)
async def test_killed_workers_leave_final_candles_as_a_clean_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    count, kills, speed, rng = 20_000, 5, RECORDED_S / 25, random.Random(17)
    file = tmp_path / "trades.csv"
    write_trades(file, 17, count, late_us=900_000_000)
    monkeypatch.setenv("CHAINTIDE_PARTITIONS", "4")
    monkeypatch.setenv("CHAINTIDE_HORIZON_MS", "1200000")
    settings = read_settings().model_copy(update={"data_dir": tmp_path / "data"})
    async with machine.running(settings, 1, lambda _: None) as (kafka, supervisor):
        publishing = asyncio.create_task(
            publish_with_heartbeats(kafka, settings.partitions, read_trades(file), speed)
        )
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(1.0, 4.0))
            await kill_once_up(supervisor, "worker-1")
        await publishing
        async with asyncio.timeout(120):
            await until_read(kafka, roles.WORKERS_GROUP, TRADES)
            await until_read(kafka, roles.SINKS_GROUP, CANDLES)
        rules = Rules(settings.grace_ms * 1000, settings.horizon_ms * 1000)
        expected, found = await recompute(kafka, rules), await stored(settings)
        late = sum((await end_offsets(kafka, LATE.name)).values())
    assert late == 0
    counted = sum(c.trades for (_, interval, _), c in found.items() if interval == "1w")
    assert counted == count
    statuses = Counter(candle.status for candle in found.values())
    assert statuses["final"] > statuses["open"] > 0, statuses
    assert found == expected
