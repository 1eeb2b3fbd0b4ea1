"""Replay recorded trades through the whole pipeline and wait until the store has it all."""

import asyncio
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import msgspec
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from chaintide.api.publishing import Pace, Publisher
from chaintide.api.roles import SINKS_GROUP, WORKERS_GROUP
from chaintide.streams import recording
from chaintide.streams.admin import end_offsets, lag
from chaintide.streams.ending import end_if_told
from chaintide.streams.errors import BadRecordError, ConfigError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import CANDLES, DEAD_LETTERS, LATE, TRADES

POLL_S = 0.25


class Replayed(msgspec.Struct):
    """What a replay did: ``refused`` records were late or dead letters, ``rejects`` bad lines."""

    trades: int = 0
    refused: int = 0
    rejects: dict[str, int] = {}


def progress_bar(console: Console) -> Progress:
    """Return the bar of a replay."""
    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
    )


class Replay:
    """Publishes files and follows them until the last candle is stored."""

    def __init__(
        self, kafka: KafkaConfig, partitions: int, now_ms: Callable[[], int], progress: Progress
    ) -> None:
        self._kafka = kafka
        self._partitions = partitions
        self._now_ms = now_ms
        self._progress = progress
        self.result = Replayed()
        self._refused_before = 0

    async def publish(self, files: Sequence[Path], speed: float | None) -> None:
        """Put every trade of ``files`` on the topic; bad lines go to ``FILE.rejects``.

        Raises:
            ConfigError: If a file cannot be read or its first line does not name the columns.
        """
        self._refused_before = await self._refused()
        size = sum(file.stat().st_size for file in files)
        task = self._progress.add_task("Reading trades", total=size, note="")
        producer = AIOKafkaProducer(**self._kafka.producer_options(linger_ms=20))
        async with producer:
            pace = None if speed is None else Pace(speed)
            publisher = Publisher(producer, self._partitions, self._now_ms, pace)
            for file in files:
                await self._publish_file(file, publisher, task)
            await publisher.finish()
        self.result.trades = publisher.trades
        self._progress.update(task, completed=size, note=f"{publisher.trades:,} trades")

    async def _publish_file(self, file: Path, publisher: Publisher, task: TaskID) -> None:
        rejects = file.with_name(f"{file.name}.rejects")
        rejects.unlink(missing_ok=True)
        before = self._progress.tasks[task].completed
        with file.open("rb") as raw, _lines(file, raw) as text:
            try:
                for count, row in enumerate(recording.read(text)):
                    if isinstance(row, recording.Reject):
                        self._reject(rejects, row)
                    else:
                        await publisher.publish(row)
                    if count % 1000 == 0:
                        done = before + raw.tell()
                        self._progress.update(
                            task, completed=done, note=f"{publisher.trades:,} trades"
                        )
            except (BadRecordError, gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ConfigError(f"{file}: {error}") from error

    def _reject(self, path: Path, reject: recording.Reject) -> None:
        count = self.result.rejects.get(str(path), 0)
        with path.open("a", encoding="utf-8") as out:
            out.write(f"{reject.line}\t{reject.reason}\t{reject.text}\n")
        self.result.rejects[str(path)] = count + 1

    async def follow(self) -> None:
        """Wait until the workers have applied every trade and the sinks have stored the result."""
        await self._until_read("Computing candles", WORKERS_GROUP, TRADES.name)
        await self._until_read("Storing candles", SINKS_GROUP, CANDLES.name)
        self.result.refused = await self._refused() - self._refused_before

    async def _refused(self) -> int:
        """Return how many records were ever late or dead letters."""
        offsets = [await end_offsets(self._kafka, topic.name) for topic in (LATE, DEAD_LETTERS)]
        return sum(sum(ends.values()) for ends in offsets)

    async def _until_read(self, title: str, group: str, topic: str) -> None:
        task = self._progress.add_task(title, total=None, note="")
        most = 1
        ends = await end_offsets(self._kafka, topic)  # live feeds may go on behind these
        while left := await lag(self._kafka, group, topic, ends):
            most = max(most, left)
            end_if_told()
            note = f"{left:,} messages left"
            self._progress.update(task, total=most, completed=most - left, note=note)
            await asyncio.sleep(POLL_S)
        self._progress.update(task, total=most, completed=most, note="done")


def _lines(file: Path, raw: BinaryIO) -> TextIO:
    """Return the text of ``raw``; what is no UTF-8 stays visible and is rejected by its line."""
    plain = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if file.suffix == ".gz" else raw
    return io.TextIOWrapper(plain, "utf-8", errors="backslashreplace", newline="")
