"""Anomalies in a SQLite file: their table, and statements on a connection."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from chaintide.sinks.anomaly_store import KEPT, NEWEST, last_forms
from chaintide.streams import codec
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.records import Market

TABLES: Final = (
    """
CREATE TABLE anomalies (
    market TEXT NOT NULL, place INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (market, place)
) STRICT, WITHOUT ROWID
""",
)
INSERT: Final = "INSERT OR REPLACE INTO anomalies VALUES (?, ?, ?)"
FORGET: Final = f"""
DELETE FROM anomalies WHERE market = ?1 AND place < (
    SELECT place FROM anomalies WHERE market = ?1 ORDER BY place DESC LIMIT 1 OFFSET {KEPT - 1}
)
"""  # noqa: S608  nothing from outside
LATEST: Final = f"SELECT record FROM anomalies ORDER BY place DESC LIMIT {NEWEST}"  # noqa: S608
_CHOSEN: Final = "SELECT record FROM anomalies WHERE market = ? AND place >= ? AND place < ?"
EARLIEST_FIRST: Final = f"{_CHOSEN} ORDER BY place LIMIT ?"
LATEST_FIRST: Final = f"{_CHOSEN} ORDER BY place DESC LIMIT ?"
_LEAST, _MOST = -(2**63), 2**63 - 1
_records: Final = msgspec.json.Decoder(Anomaly)


def write(connection: sqlite3.Connection, batches: Sequence[AnomalyBatch]) -> None:
    """Write everything in the transaction that is open, and drop what is too old."""
    forms = last_forms(batches)
    connection.executemany(
        INSERT, ((one.market, one.place, codec.encode(one).decode()) for one in forms)
    )
    connection.executemany(FORGET, ((market,) for market in {one.market for one in forms}))


def read(
    connection: sqlite3.Connection,
    market: Market,
    span: tuple[int | None, int | None],
    limit: int | None,
) -> list[Anomaly]:
    """Return the anomalies of a market whose place is in ``span``, sorted by it."""
    start, end = span
    query = LATEST_FIRST if start is None else EARLIEST_FIRST
    least, most = _LEAST if start is None else start, _MOST if end is None else end
    found = connection.execute(query, (market, least, most, -1 if limit is None else limit))
    records = [_records.decode(record) for (record,) in found.fetchall()]
    return records if start is not None else records[::-1]


def newest(connection: sqlite3.Connection) -> list[Anomaly]:
    """Return the newest anomalies of all markets, the oldest of them first."""
    rows = connection.execute(LATEST).fetchall()
    return [_records.decode(record) for (record,) in reversed(rows)]
