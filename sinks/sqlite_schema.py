"""The tables of the SQLite file, and how those of older versions become these."""

from typing import Final

from chaintide.sinks import sqlite_anomalies, sqlite_forecasts
from chaintide.streams.records import Candle

SCHEMA_VERSION: Final = 6
# A candle is kept as the JSON it is in its topic: to build that of 23 columns, or a candle of
# them, would take most of the time of a read. ``candles`` shows the columns to people.
_SHOWN: Final = ", ".join(
    f"json_extract(record, '$.{name}') AS {name}" for name in Candle.__struct_fields__
)
RECORDS: Final = """
CREATE TABLE records (
    market TEXT NOT NULL, interval TEXT NOT NULL, open_time_ms INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (market, interval, open_time_ms)
) STRICT, WITHOUT ROWID
"""
VIEW: Final = f"CREATE VIEW candles AS SELECT {_SHOWN} FROM records"  # noqa: S608  of our names
SCHEMA: Final = (
    RECORDS,
    VIEW,
    """
CREATE TABLE markets (
    market TEXT PRIMARY KEY, generation INTEGER NOT NULL, input_offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE gaps (
    market TEXT NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL,
    reason TEXT NOT NULL, filled INTEGER NOT NULL, v INTEGER NOT NULL,
    PRIMARY KEY (market, from_us)
) STRICT, WITHOUT ROWID
""",
    *sqlite_forecasts.TABLES,
    *sqlite_anomalies.TABLES,
)
# Up to version 3 candles had a column for each field, of which later ones had more.
ADDED: Final = {
    "reason": "TEXT",
    "unique_traders": "INTEGER",
    "has_more_traders": "INTEGER NOT NULL DEFAULT 0",
}
_FLAGS: Final = frozenset({"complete", "has_more_traders"})
_FIELDS: Final = ", ".join(
    f"'{name}', json(iif({name}, 'true', 'false'))" if name in _FLAGS else f"'{name}', {name}"
    for name in Candle.__struct_fields__
)
_JSON: Final = f"json_object({_FIELDS})"
MOVE: Final = (
    RECORDS,
    f"INSERT INTO records SELECT market, interval, open_time_ms, {_JSON} FROM candles",  # noqa: S608
    "DROP TABLE candles",
    VIEW,
)
