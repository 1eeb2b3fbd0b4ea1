"""Candles as text: CSV, JSON, or a table for a person."""

import csv
import io
from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.table import Table

from chaintide.streams.records import Candle

Format = Literal["csv", "json", "table"]
COLUMNS = (
    "market",
    "interval",
    "open_time_ms",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "complete",
    "status",
    "revision",
)


def cells(candle: Candle) -> list[str]:
    """Return the cells of one candle, booleans as ``true`` and ``false``."""
    values = [getattr(candle, name) for name in COLUMNS]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in values]


def as_csv(candles: Sequence[Candle]) -> str:
    """Return candles as CSV under a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(cells(candle) for candle in candles)
    return out.getvalue()


def as_json(candles: Sequence[Candle]) -> str:
    """Return candles as a JSON array with all their fields."""
    return msgspec.json.format(msgspec.json.encode(candles), indent=1).decode() + "\n"


def as_table(candles: Sequence[Candle]) -> Table:
    """Return candles as a table."""
    table = Table(*COLUMNS[2:])
    for candle in candles:
        table.add_row(*cells(candle)[2:])
    return table
