"""The default candle store: one SQLite file that other processes may read meanwhile."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import convert
from msgspec.structs import astuple

from chaintide.sinks import sqlite_anomalies, sqlite_forecasts
from chaintide.sinks.conflation import Version, conflate, version
from chaintide.sinks.sqlite_schema import ADDED, MOVE, SCHEMA, SCHEMA_VERSION
from chaintide.streams import codec
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.errors import ConfigError, FatalError, RetryableError
from chaintide.streams.intervals import Interval
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch
from chaintide.streams.records import Candle, CandleBatch, Gap, Market

FILE_NAME: Final = "chaintide.sqlite"
BUSY_TIMEOUT_S: Final = 5.0
READERS: Final = 4
# What passes by itself: another writer, a full or missing disk.
PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
    }
)
BEGIN: Final = "BEGIN IMMEDIATE"
INSERT_CANDLE: Final = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)"
INSERT_GAP: Final = "INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?, ?)"
INSERT_MARKET: Final = "INSERT OR REPLACE INTO markets VALUES (?, ?, ?)"
_candles: Final = msgspec.json.Decoder(list[Candle])
_T = TypeVar("_T")


class SqliteStore:
    """Candles in the SQLite file at ``path``, which is made when it is not there.

    Raises:
        ConfigError: If a newer program wrote the file.
        FatalError: If the file is damaged or no such file.
        RetryableError: If the file cannot be opened now.
    """

    def __init__(self, path: Path) -> None:
        # All writes are done in one thread, so that a transaction is never interleaved. Readers
        # see what was committed when they began, and never wait for it or for each other.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="sqlite-read")
        self._path = path
        self._connection = _sorted_errors(lambda: _open(path))
        self._idle: list[sqlite3.Connection] = []

    async def write(self, batches: Sequence[CandleBatch]) -> None:
        """Store all of ``batches`` in one transaction."""
        await self._change(lambda file: _write(file, batches))

    async def candles(
        self,
        market: Market,
        interval: Interval,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> list[Candle]:
        """Return the candles that open in ``[start_ms, end_ms)``, sorted by open time."""
        chosen = "SELECT record FROM records WHERE market = ? AND interval = ?"
        parameters: list[str | int] = [market, interval]
        if start_ms is not None:
            chosen += " AND open_time_ms >= ?"
            parameters.append(start_ms)
        if end_ms is not None:
            chosen += " AND open_time_ms < ?"
            parameters.append(end_ms)
        chosen += " ORDER BY open_time_ms" + (" DESC" if start_ms is None else "")
        if limit is not None:
            chosen += " LIMIT ?"
            parameters.append(limit)
        # One row for many candles: every row takes the lock of the interpreter from whoever has it.
        query = f"SELECT group_concat(record) FROM ({chosen})"  # noqa: S608  nothing from outside
        return await _run(self._readers, lambda: self._candles(query, parameters))

    async def markets(self) -> list[Market]:
        """Return every market anything was stored of, sorted."""
        query = "SELECT market FROM markets ORDER BY market"
        return [row["market"] for row in await self._rows(query, [], list[dict[str, Market]])]

    async def gaps(self, market: Market) -> list[Gap]:
        """Return the gaps of ``market``, sorted by their start."""
        query = "SELECT * FROM gaps WHERE market = ? ORDER BY from_us"
        return await self._rows(query, [market], list[Gap])

    async def write_forecasts(
        self, batches: Sequence[PredictionBatch], scores: Sequence[ModelScore]
    ) -> None:
        """Store all of them in one transaction."""
        await self._change(lambda file: sqlite_forecasts.write(file, batches, scores))

    async def predictions(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[Prediction]:
        """Return the newest predictions of a series, sorted by their time of issue."""
        series = (market, interval, horizon)
        return await self._asked(lambda file: sqlite_forecasts.predictions(file, series, limit))

    async def newest_predictions(self) -> list[Prediction]:
        """Return the newest prediction of every series."""
        return await self._asked(sqlite_forecasts.newest)

    async def score_history(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[ModelScore]:
        """Return the newest scores of a series, sorted by their time."""
        series = (market, interval, horizon)
        return await self._asked(lambda file: sqlite_forecasts.scores(file, series, limit))

    async def write_anomalies(self, batches: Sequence[AnomalyBatch]) -> None:
        """Store all of them in one transaction."""
        await self._change(lambda file: sqlite_anomalies.write(file, batches))

    async def anomalies(
        self,
        market: Market,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
    ) -> list[Anomaly]:
        """Return the anomalies whose place is in ``[start, end)``, sorted by it."""
        span = (start, end)
        return await self._asked(lambda file: sqlite_anomalies.read(file, market, span, limit))

    async def newest_anomalies(self) -> list[Anomaly]:
        """Return the newest anomalies of all markets, sorted by their place."""
        return await self._asked(sqlite_anomalies.newest)

    async def _change(self, change: Callable[[sqlite3.Connection], None]) -> None:
        def write() -> None:
            with self._connection:  # commits, or rolls back what was not all done
                self._connection.execute(BEGIN)
                change(self._connection)

        await _run(self._writer, write)

    async def _asked(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        def ask() -> _T:
            with self._reader() as connection:
                return question(connection)

        return await _run(self._readers, ask)

    async def close(self) -> None:
        """Close the file; what was written stays."""
        await _run(self._writer, self._connection.close)
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in self._idle:
            connection.close()

    async def _rows(self, query: str, parameters: list[str | int], of: type[_T]) -> _T:
        return await _run(self._readers, lambda: self._read(query, parameters, of))

    def _candles(self, query: str, parameters: list[str | int]) -> list[Candle]:
        with self._reader() as connection:
            [text] = connection.execute(query, parameters).fetchone()
        found = _candles.decode(f"[{text or ''}]")
        return sorted(found, key=lambda candle: candle.open_time_ms)

    def _read(self, query: str, parameters: list[str | int], of: type[_T]) -> _T:
        with self._reader() as connection:
            cursor = connection.execute(query, parameters)
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return convert(rows, of, strict=False)

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _connect(self._path)
        try:
            yield connection
        finally:
            self._idle.append(connection)


def _write(file: sqlite3.Connection, batches: Sequence[CandleBatch]) -> None:
    chosen = conflate(batches, _newest(file, {batch.market for batch in batches}))
    for batch in chosen:
        file.execute(INSERT_MARKET, (batch.market, *version(batch)))
    file.executemany(INSERT_CANDLE, (_row(candle) for batch in chosen for candle in batch.candles))
    file.executemany(INSERT_GAP, (astuple(gap) for batch in chosen for gap in batch.gaps))


def _newest(file: sqlite3.Connection, markets: set[Market]) -> dict[Market, Version]:
    query = "SELECT generation, input_offset FROM markets WHERE market = ?"
    found = ((market, file.execute(query, [market]).fetchone()) for market in markets)
    return {market: (row[0], row[1]) for market, row in found if row is not None}


def _row(candle: Candle) -> tuple[str, str, int, str]:
    record = codec.encode(candle).decode()
    return candle.market, candle.interval, candle.open_time_ms, record


async def _run(threads: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(threads, lambda: _sorted_errors(work))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    # Kafka is told that a record is done once it is here, so it has to survive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    if _version(connection) < SCHEMA_VERSION:  # else no lock is needed, which others may hold
        with connection:
            connection.execute(BEGIN)
            for statement in _changes(connection, _version(connection)):
                connection.execute(statement)
    if (found := _version(connection)) > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} has schema {found}, this program knows up to {SCHEMA_VERSION}:"
            " upgrade chaintide, or choose another data directory"
        )
    return connection


def _version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def _changes(connection: sqlite3.Connection, found: int) -> list[str]:
    now = f"PRAGMA user_version = {SCHEMA_VERSION}"
    if found == 0:
        return [*SCHEMA, now]
    if found >= SCHEMA_VERSION:  # another process was here first
        return []
    if found >= 4:
        forecasts = sqlite_forecasts.TABLES if found == 4 else ()
        return [*forecasts, *sqlite_anomalies.TABLES, now]
    # Some files of version 1 have the column of version 2 already.
    columns = {row[1] for row in connection.execute("PRAGMA table_info(candles)")}
    added = [
        f"ALTER TABLE candles ADD COLUMN {name} {kind}"
        for name, kind in ADDED.items()
        if name not in columns
    ]
    return [*added, *MOVE, *sqlite_forecasts.TABLES, *sqlite_anomalies.TABLES, now]


def _sorted_errors(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except sqlite3.Error as error:
        # The low byte is the primary code; errors of Python's module itself have none.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING:
            raise RetryableError(f"SQLite: {error}") from error
        raise FatalError(f"SQLite: {error}, which waiting does not help") from error
