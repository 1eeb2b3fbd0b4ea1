"""What only the SQLite store does."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
from anomalies import anomaly, told
from candles import MARKET, batch, candle
from forecasts import predicted, prediction
from msgspec.structs import astuple

from chaintide.sinks import sqlite, sqlite_anomalies
from chaintide.sinks.anomaly_store import KEPT
from chaintide.sinks.sqlite import SqliteStore
from chaintide.streams.errors import ConfigError, FatalError, RetryableError
from chaintide.streams.records import Candle, Market


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "test.sqlite"


async def test_what_was_written_is_there_after_opening_again(path: Path):
    first = SqliteStore(path)
    await first.write([batch(candle(0), generation=2)])
    await first.close()
    second = SqliteStore(path)
    await second.write([batch(candle(0, close="9"), generation=1)])
    assert await second.candles(MARKET, "1m") == [candle(0)]
    await second.close()


async def test_a_file_of_a_newer_program_is_refused(path: Path):
    await SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(ConfigError, match=r"schema 7.*upgrade chaintide"):
        SqliteStore(path)


REASON = ", reason TEXT"
TRADERS = ", unique_traders INTEGER, has_more_traders INTEGER NOT NULL DEFAULT 0"
COLUMNS = """
CREATE TABLE markets (
    market TEXT PRIMARY KEY, generation INTEGER NOT NULL, input_offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE candles (
    market TEXT NOT NULL, interval TEXT NOT NULL,
    open_time_ms INTEGER NOT NULL, close_time_ms INTEGER NOT NULL,
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL,
    volume TEXT NOT NULL, quote_volume TEXT NOT NULL, vwap TEXT,
    taker_buy_volume TEXT NOT NULL, trades INTEGER NOT NULL,
    first_trade_id INTEGER, last_trade_id INTEGER,
    status TEXT NOT NULL, revision INTEGER NOT NULL, complete INTEGER NOT NULL,
    fill TEXT NOT NULL, updated_ms INTEGER NOT NULL{reason}{traders},
    PRIMARY KEY (market, interval, open_time_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE gaps (
    market TEXT NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL,
    reason TEXT NOT NULL, filled INTEGER NOT NULL, v INTEGER NOT NULL,
    PRIMARY KEY (market, from_us)
) STRICT, WITHOUT ROWID;
"""


@pytest.mark.parametrize(
    ("version", "reason", "traders"),
    [(1, "", ""), (1, REASON, ""), (2, REASON, ""), (3, REASON, TRADERS)],
)
async def test_a_file_of_an_older_version_keeps_its_candles_and_takes_new_fields(
    path: Path, version: int, reason: str, traders: str
):
    old = candle(0, vwap=None, complete=False)
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.executescript(COLUMNS.format(reason=reason, traders=traders))
        columns = [row[1] for row in connection.execute("PRAGMA table_info(candles)")]
        places = ", ".join("?" * len(columns))
        connection.execute(f"INSERT INTO candles VALUES ({places})", astuple(old)[: len(columns)])
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    more = {"unique_traders": 5_000, "has_more_traders": True}
    corrected = candle(1, status="corrected", revision=2, reason="reorg", **more)
    for _ in range(2):
        store = SqliteStore(path)
        await store.write([batch(corrected)])
        assert await store.candles(MARKET, "1m") == [old, corrected]
        await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (sqlite.SCHEMA_VERSION,)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(candles)")]
    connection.close()
    assert tuple(columns) == Candle.__struct_fields__


@pytest.mark.parametrize("version", [4, 5])
async def test_a_file_of_an_older_version_takes_forecasts_and_anomalies(path: Path, version: int):
    await SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE anomalies")
        if version == 4:
            connection.executescript("DROP TABLE predictions; DROP TABLE scores")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    store = SqliteStore(path)
    await store.write_anomalies([told(anomaly(1))])
    await store.write_forecasts([predicted(prediction(0))], [])
    assert await store.anomalies(MARKET) == [anomaly(1)]
    await store.close()


async def test_of_the_anomalies_of_a_market_the_newest_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    shorter = sqlite_anomalies.FORGET.replace(str(KEPT - 1), "2")
    monkeypatch.setattr(sqlite_anomalies, "FORGET", shorter)
    store = SqliteStore(path)
    await store.write_anomalies([told(*[anomaly(n) for n in range(5)])])
    await store.write_anomalies([told(anomaly(1, market="x:Y"))])
    assert await store.anomalies(MARKET) == [anomaly(n) for n in (2, 3, 4)]
    assert await store.anomalies(Market("x:Y")) == [anomaly(1, market="x:Y")]
    await store.close()


async def test_a_locked_file_is_worth_waiting_for(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RetryableError, match="locked"):
        await store.write([batch(candle(0))])
    assert await store.candles(MARKET, "1m") == []  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    await store.write([batch(candle(0))])
    assert await store.candles(MARKET, "1m") == [candle(0)]
    await store.close()


def test_a_file_that_cannot_be_opened_is_worth_waiting_for(path: Path):
    path.mkdir(parents=True)
    with pytest.raises(RetryableError, match="unable to open"):
        SqliteStore(path)


def test_a_file_of_something_else_is_fatal_and_named_as_such(path: Path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(FatalError, match="file is not a database"):
        SqliteStore(path)


async def test_what_is_wrong_with_a_file_later_on_is_fatal_too(path: Path):
    store = SqliteStore(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE markets")
    connection.close()
    with pytest.raises(FatalError, match="no such table"):
        await store.markets()
    with pytest.raises(FatalError, match="no such table"):
        await store.write([batch(candle(0))])
    await store.close()


async def test_a_write_is_stored_as_a_whole_or_not_at_all(path: Path):
    store = SqliteStore(path)
    impossible = candle(1, open_time_ms=2**70)
    with pytest.raises(OverflowError):
        await store.write([batch(candle(0), impossible)])
    assert await store.candles(MARKET, "1m") == []
    assert await store.markets() == []
    await store.write([batch(candle(0))])
    await store.close()


async def test_the_columns_are_the_fields_of_the_records(path: Path):
    await SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(candles)")]
    connection.close()
    assert tuple(columns) == Candle.__struct_fields__


async def test_other_processes_read_and_open_while_one_writes(path: Path):
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from chaintide.sinks.sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore(Path(sys.argv[1]))\n"
        "    seen = []\n"
        "    while len(seen) < 200:\n"
        f"        seen = await store.candles({MARKET!r}, '1m')\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    start = asyncio.create_subprocess_exec
    readers = [await start(sys.executable, "-c", program, path) for _ in range(3)]
    store = SqliteStore(path)
    for minute in range(200):
        await store.write([batch(candle(minute), offset=minute)])
    await store.close()
    assert [await reader.wait() for reader in readers] == [0, 0, 0]
