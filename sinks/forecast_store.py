"""The port of stores that keep predictions and their scores beside candles."""

from collections.abc import Sequence
from typing import Final, Protocol

from chaintide.sinks.anomaly_store import AnomalyStore
from chaintide.sinks.candle_store import CandleStore
from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch
from chaintide.streams.records import Market

KEPT_CANDLES: Final = 2_000  # of predictions, per series
SCORE_CANDLES: Final = 15  # of the scores of so many candles the last ones are kept
KEPT_SCORES: Final = 500  # per series


class ForecastStore(Protocol):
    """A place where predictions and scores are kept and read back.

    A prediction is identified by its market, interval, horizon and time of issue; only those that
    were made when a candle closed are kept, and of these the last 2,000 candles at least. Of
    scores the last of each 15 candles is kept, at least 500 of them.

    Every method raises ``RetryableError`` while the store is down, and ``FatalError`` when
    waiting will not help.
    """

    async def write_forecasts(
        self, batches: Sequence[PredictionBatch], scores: Sequence[ModelScore]
    ) -> None:
        """Store all of them or raise; safe to call again with the same ones."""
        ...

    async def predictions(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[Prediction]:
        """Return the newest predictions of a series, sorted by their time of issue."""
        ...

    async def newest_predictions(self) -> list[Prediction]:
        """Return the newest prediction of every series."""
        ...

    async def score_history(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[ModelScore]:
        """Return the newest scores of a series, sorted by their time."""
        ...


class Store(CandleStore, ForecastStore, AnomalyStore, Protocol):
    """A place for everything."""


def kept(batches: Sequence[PredictionBatch]) -> list[Prediction]:
    """Return the predictions that are worth keeping."""
    return [
        prediction
        for batch in batches
        for prediction in batch.predictions
        if prediction.status == "issued"
    ]


def place_ms(score: ModelScore) -> int:
    """Return the time that a score is kept at: the last of each 15 candles replaces the others."""
    span_ms = SCORE_CANDLES * WIDTH_MS[score.interval]
    return score.as_of_ms - score.as_of_ms % span_ms
