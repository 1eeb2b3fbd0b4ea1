"""Candles as text: CSV, JSON, or a table for a person."""

import csv
import io
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from chaintide.api.rest.queries import time_ms
from chaintide.streams.records import Candle

WIDE = 240  # columns: a number that wraps can be read, one that is cut cannot
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


def moment(text: str | None) -> int | None:
    """Return milliseconds from ISO 8601 (UTC unless it says otherwise) or a number.

    Raises:
        typer.BadParameter: If it is neither.
    """
    try:
        return None if text is None else time_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither ISO 8601 nor milliseconds") from error


def show(candles: Sequence[Candle], fmt: Format) -> None:
    """Print candles."""
    if fmt == "table":
        Console(width=WIDE).print(as_table(candles))
    else:
        sys.stdout.write(as_csv(candles) if fmt == "csv" else as_json(candles))


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
    """Return candles as a table whose numbers are never cut, however narrow the terminal."""
    names = ("open time (UTC)", "open", "high", "low", "close", "volume", "trades", "status")
    table = Table(*names, box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for candle in candles:
        opened = datetime.fromtimestamp(candle.open_time_ms / 1000, UTC)
        mark = candle.status if candle.complete else f"{candle.status}, incomplete"
        prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        table.add_row(f"{opened:%Y-%m-%d %H:%M}", *prices, str(candle.trades), mark)
    for column in table.columns:
        column.no_wrap = True
        column.min_width = max(len(str(cell)) for cell in (column.header, *column.cells))
    return table
