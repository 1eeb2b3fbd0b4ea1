"""Two processes with one data directory, and a data directory whose Kafka is gone."""

import asyncio
import csv
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import is_alive
from rich.console import Console

from chaintide.api import machine
from chaintide.api.replay import Replay, progress_bar
from chaintide.api.settings import Settings, read_settings
from chaintide.streams.kafka import KafkaConfig

pytestmark = [pytest.mark.broker, pytest.mark.slow]
HEADER = "market,trade_id,time_us,price,size,side"
START_US = 1_762_795_440_000_000
MINUTE_US = 60_000_000


def chaintide(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "chaintide.api.cli", *map(str, arguments)]


def recorded(path: Path, numbers: range) -> Path:
    """Write one trade a minute; trade ``n`` costs ``n``."""
    lines = [f"kraken:A-B,{n},{START_US + n * MINUTE_US},{n},1,buy" for n in numbers]
    path.write_text("\n".join([HEADER, *lines, ""]), "utf-8")
    return path


def stored(data_dir: Path) -> list[tuple[str, str]]:
    """Return close and number of trades of every minute in the store."""
    command = chaintide("candles", "kraken:A-B", "--data-dir", data_dir, "--format", "csv")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [(row["close"], row["trades"]) for row in csv.DictReader(done.stdout.splitlines())]


async def replay(kafka: KafkaConfig, settings: Settings, file: Path) -> None:
    progress = progress_bar(Console(quiet=True))
    run = Replay(kafka, settings.partitions, lambda: time.time_ns() // 10**6, progress)
    await run.publish([file], None)
    await run.follow()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not is_so():  # noqa: ASYNC110  processes tell nothing
            await asyncio.sleep(0.1)


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A replay that will not end by itself and so keeps Kafka, worker and sink running."""
    monkeypatch.setenv("CHAINTIDE_PARTITIONS", "2")
    file = recorded(tmp_path / "slow.csv", range(1, 4))
    command = chaintide("replay", file, "--speed", "0.001", "--data-dir", tmp_path / "data")
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.mark.timeout(300)
async def test_the_second_process_takes_over_all_that_runs_when_the_first_is_killed(
    first: subprocess.Popen[bytes], tmp_path: Path
):
    settings = read_settings().model_copy(update={"data_dir": tmp_path / "data"})
    await until((tmp_path / "data/logs/sink-1.log").exists)
    reports: list[str] = []
    async with machine.running(settings, 1, reports.append) as (kafka, supervisor):
        shared = supervisor.broker_pid
        await asyncio.sleep(2 * machine.TAKE_OVER_S)
        assert supervisor.roles == [], "the first one runs them"
        assert is_alive(shared)
        first.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.wait)
        await until(lambda: len(supervisor.roles) == 2)
        await until(lambda: supervisor.broker_pid != shared and is_alive(supervisor.broker_pid))
        async with asyncio.timeout(150):
            await replay(kafka, settings, recorded(tmp_path / "quick.csv", range(1, 11)))
        assert [role.name for role in supervisor.roles] == ["worker-1", "sink-1"]
        assert all(role.is_running for role in supervisor.roles), reports
    assert stored(tmp_path / "data") == [(str(n), "1") for n in range(1, 11)]


@pytest.mark.timeout(300)
def test_a_store_goes_on_when_the_kafka_beside_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHAINTIDE_PARTITIONS", "2")
    data_dir = tmp_path / "data"
    # The second time offsets are lower; only the generation can say that its candles are newer.
    for numbers in (range(1, 1_401), range(1_401, 1_406)):
        shutil.rmtree(data_dir / "kafka", ignore_errors=True)
        file = recorded(tmp_path / "trades.csv", numbers)
        subprocess.run(chaintide("replay", file, "--data-dir", data_dir), check=True)
    assert stored(data_dir) == [(str(n), "1") for n in range(1, 1_406)]
