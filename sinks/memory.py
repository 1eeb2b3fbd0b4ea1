"""The candle store for tests and demonstrations."""

from collections.abc import Sequence

from chaintide.sinks.anomaly_store import NEWEST, last_forms
from chaintide.sinks.conflation import Version, conflate, version
from chaintide.sinks.forecast_store import kept, place_ms
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.intervals import Interval
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch
from chaintide.streams.records import Candle, CandleBatch, Gap, Market

Series = tuple[Market, Interval, int]


class MemoryStore:
    """Everything in dictionaries, gone when the process ends."""

    def __init__(self) -> None:
        self._newest: dict[Market, Version] = {}
        self._candles: dict[tuple[Market, Interval], dict[int, Candle]] = {}
        self._gaps: dict[Market, dict[int, Gap]] = {}
        self._predictions: dict[Series, dict[int, Prediction]] = {}
        self._scores: dict[Series, dict[int, ModelScore]] = {}
        self._anomalies: dict[Market, dict[int, Anomaly]] = {}

    async def write(self, batches: Sequence[CandleBatch]) -> None:
        """Store all of ``batches``."""
        for batch in conflate(batches, self._newest):
            self._newest[batch.market] = version(batch)
            self._gaps.setdefault(batch.market, {}).update((g.from_us, g) for g in batch.gaps)
            for candle in batch.candles:
                series = self._candles.setdefault((candle.market, candle.interval), {})
                series[candle.open_time_ms] = candle

    async def candles(
        self,
        market: Market,
        interval: Interval,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> list[Candle]:
        """Return the candles that open in ``[start_ms, end_ms)``, sorted by open time."""
        series = self._candles.get((market, interval), {})
        found = [
            series[open_time_ms]
            for open_time_ms in sorted(series)
            if (start_ms is None or start_ms <= open_time_ms)
            and (end_ms is None or open_time_ms < end_ms)
        ]
        if limit is None:
            return found
        return found[:limit] if start_ms is not None else found[max(0, len(found) - limit) :]

    async def markets(self) -> list[Market]:
        """Return every market anything was stored of, sorted."""
        return sorted(self._newest)

    async def gaps(self, market: Market) -> list[Gap]:
        """Return the gaps of ``market``, sorted by their start."""
        return [gap for _, gap in sorted(self._gaps.get(market, {}).items())]

    async def write_forecasts(
        self, batches: Sequence[PredictionBatch], scores: Sequence[ModelScore]
    ) -> None:
        """Store all of them."""
        for one in kept(batches):
            key = (one.market, one.interval, one.horizon)
            self._predictions.setdefault(key, {})[one.issued_at] = one
        for score in scores:
            key = (score.market, score.interval, score.horizon)
            self._scores.setdefault(key, {})[place_ms(score)] = score

    async def predictions(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[Prediction]:
        """Return the newest predictions of a series, sorted by their time of issue."""
        series = self._predictions.get((market, interval, horizon), {})
        return [one for _, one in sorted(series.items())][-limit:]

    async def newest_predictions(self) -> list[Prediction]:
        """Return the newest prediction of every series."""
        return [series[max(series)] for series in self._predictions.values()]

    async def score_history(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[ModelScore]:
        """Return the newest scores of a series, sorted by their time."""
        series = self._scores.get((market, interval, horizon), {})
        return [one for _, one in sorted(series.items())][-limit:]

    async def write_anomalies(self, batches: Sequence[AnomalyBatch]) -> None:
        """Store all of them."""
        for one in last_forms(batches):
            self._anomalies.setdefault(one.market, {})[one.place] = one

    async def anomalies(
        self,
        market: Market,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
    ) -> list[Anomaly]:
        """Return the anomalies whose place is in ``[start, end)``, sorted by it."""
        found = [
            one
            for place, one in sorted(self._anomalies.get(market, {}).items())
            if (start is None or start <= place) and (end is None or place < end)
        ]
        if limit is None:
            return found
        return found[:limit] if start is not None else found[max(0, len(found) - limit) :]

    async def newest_anomalies(self) -> list[Anomaly]:
        """Return the newest anomalies of all markets, sorted by their place."""
        found = [one for kept in self._anomalies.values() for one in kept.values()]
        return sorted(found, key=lambda one: one.place)[-NEWEST:]

    async def close(self) -> None:
        """Do nothing."""
