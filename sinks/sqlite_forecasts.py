"""Predictions and scores in a SQLite file: its tables, and statements on a connection."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from chaintide.sinks.forecast_store import KEPT_CANDLES, KEPT_SCORES, SCORE_CANDLES, kept, place_ms
from chaintide.streams import codec
from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch
from chaintide.streams.records import Market

_COLUMNS: Final = """(
    market TEXT NOT NULL, interval TEXT NOT NULL, horizon INTEGER NOT NULL,
    time_ms INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (market, interval, horizon, time_ms)
) STRICT, WITHOUT ROWID
"""
TABLES: Final = (
    f"CREATE TABLE predictions {_COLUMNS}",
    f"CREATE TABLE scores {_COLUMNS}",
)
INSERT_PREDICTION: Final = "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?)"
INSERT_SCORE: Final = "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?)"
_SERIES: Final = "WHERE market = ? AND interval = ? AND horizon = ?"
FORGET_PREDICTIONS: Final = f"DELETE FROM predictions {_SERIES} AND time_ms < ?"  # noqa: S608
FORGET_SCORES: Final = f"DELETE FROM scores {_SERIES} AND time_ms < ?"  # noqa: S608
PREDICTIONS: Final = f"SELECT record FROM predictions {_SERIES} ORDER BY time_ms DESC LIMIT ?"  # noqa: S608
SCORES: Final = f"SELECT record FROM scores {_SERIES} ORDER BY time_ms DESC LIMIT ?"  # noqa: S608
NEWEST: Final = """
SELECT record, max(time_ms) FROM predictions GROUP BY market, interval, horizon
"""
Series = tuple[Market, Interval, int]
_predictions: Final = msgspec.json.Decoder(Prediction)
_scores: Final = msgspec.json.Decoder(ModelScore)


def write(
    connection: sqlite3.Connection,
    batches: Sequence[PredictionBatch],
    scores: Sequence[ModelScore],
) -> None:
    """Write everything in the transaction that is open, and drop what is too old."""
    issued = kept(batches)
    connection.executemany(
        INSERT_PREDICTION,
        ((*_series(one), one.issued_at, codec.encode(one).decode()) for one in issued),
    )
    connection.executemany(
        INSERT_SCORE,
        ((*_series(one), place_ms(one), codec.encode(one).decode()) for one in scores),
    )
    newest = {_series(one): one.issued_at for one in issued}
    connection.executemany(
        FORGET_PREDICTIONS,
        (
            (*series, time_ms - KEPT_CANDLES * WIDTH_MS[series[1]])
            for series, time_ms in newest.items()
        ),
    )
    room = KEPT_SCORES * SCORE_CANDLES
    connection.executemany(
        FORGET_SCORES,
        ((*_series(one), place_ms(one) - room * WIDTH_MS[one.interval]) for one in scores),
    )


def predictions(connection: sqlite3.Connection, series: Series, limit: int) -> list[Prediction]:
    """Return the newest predictions of a series, the oldest of them first."""
    rows = connection.execute(PREDICTIONS, (*series, limit)).fetchall()
    return [_predictions.decode(record) for (record,) in reversed(rows)]


def newest(connection: sqlite3.Connection) -> list[Prediction]:
    """Return the newest prediction of every series."""
    return [_predictions.decode(record) for record, _ in connection.execute(NEWEST).fetchall()]


def scores(connection: sqlite3.Connection, series: Series, limit: int) -> list[ModelScore]:
    """Return the newest scores of a series, the oldest of them first."""
    rows = connection.execute(SCORES, (*series, limit)).fetchall()
    return [_scores.decode(record) for (record,) in reversed(rows)]


def _series(record: Prediction | ModelScore) -> Series:
    return record.market, record.interval, record.horizon
