"""The newest predictions and scores of all markets, in the words that readers are told."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, Literal

import msgspec

from chaintide.api.live.update import Update
from chaintide.api.state.overlay import PLACES, seq_of
from chaintide.streams import codec
from chaintide.streams.finality import is_settled
from chaintide.streams.intervals import Interval
from chaintide.streams.probabilities import ModelScore, Prediction, Step
from chaintide.streams.records import Candle, Market

MAX_SERIES: Final = 300_000
CLAIM: Final = 20.0  # evidence from which on skill is no luck
ENOUGH_LABELS: Final = 30
Verdict = Literal["learning", "no better than the base rate", "better than the base rate"]


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is at one market.

    ``skill`` is the share of the base rate's log-loss that is saved, below 0 it is worse;
    ``verdict`` says in words whether that can be luck. ``issued`` is ``resolved`` + ``pending`` +
    ``void``. Figures are null until something was scored. ``steps`` are the last 20 drifts, and
    challengers that began, took over (``promoted``) or were given up.
    """

    market: Market
    model_id: str
    interval: Interval
    horizon: int
    as_of_ms: int
    model_version: str
    features_hash: str
    verdict: Verdict
    skill: float | None
    issued: int
    resolved: int
    pending: int
    void: int
    amended: int
    labels: int
    log_loss: float | None
    log_loss_base: float | None
    brier: float | None
    brier_base: float | None
    ece: float | None
    ece_floor: float | None
    coverage_50: float | None
    coverage_80: float | None
    coverage_90: float | None
    gap1_brier: float | None
    gap1_brier_base: float | None
    evidence: float
    drift_alarms: int
    has_challenger: bool
    challengers: int
    promotions: int
    steps: list[Step]


class Forecasts:
    """The last word on each series; beyond 300,000 series, new ones are not known.

    ``urgent`` counts predictions that were made as candles closed, and candles of which one is
    still to come.
    """

    def __init__(self) -> None:
        self.heard_ms = 0
        self.urgent = 0
        self._said: dict[tuple[Market, Interval], dict[int, Prediction]] = {}
        self._scores: dict[str, ModelScore] = {}
        self._sorted: list[str] = []

    def on_time(self, time_ms: int) -> None:
        """Note the time, by which a snapshot is fresh: of a record, or of the clock."""
        self.heard_ms = max(self.heard_ms, time_ms)

    def on_predictions(
        self, predictions: Iterable[tuple[Prediction, bytes]], offset: int, published_ms: int
    ) -> list[Update]:
        """Take predictions, each with its JSON, and return what is to be told of the new ones.

        Those of one market and interval that follow each other and were made at one time are told
        together.
        """
        updates: list[Update] = []
        places: dict[tuple[Market, Interval], int] = {}
        for (market, interval, made_ms, expires_ms, _), pairs in groupby(predictions, _together):
            place = places.get((market, interval), 0)
            if place >= PLACES:
                continue
            series = self._series(market, interval)
            news = [pair for pair in pairs if self._is_news(series, pair[0])]
            if not news:
                continue
            places[market, interval] = place + 1
            data = b"[" + b",".join([text for _, text in news]) + b"]"
            updates.append(
                Update(
                    channel=f"prob:{market}:{interval}",
                    seq=seq_of(offset, place),
                    key=",".join([str(said.horizon) for said, _ in news]),
                    type="update",
                    event_ms=made_ms,
                    published_ms=published_ms,
                    data=codec.encode([said for said, _ in news]) if b"\n" in data else data,
                    expires_ms=expires_ms,
                )
            )
        return updates

    def on_candle(self, candle: Candle) -> None:
        """Note that a candle is there: once it can be learned from, a prediction comes."""
        series = self._said.get((candle.market, candle.interval))
        if series and is_settled(candle):
            said = max(series.values(), key=attrgetter("issued_at"))
            self.urgent += said.issued_at < candle.close_time_ms < said.expires_at

    def on_prediction(self, said: Prediction) -> bool:
        """Take a prediction, and return whether it is news."""
        return self._is_news(self._series(said.market, said.interval), said)

    def _series(self, market: Market, interval: Interval) -> dict[int, Prediction] | None:
        series = self._said.get((market, interval))
        if series is None and len(self._said) < MAX_SERIES:
            series = self._said[market, interval] = {}
        return series

    def _is_news(self, series: dict[int, Prediction] | None, said: Prediction) -> bool:
        if series is None:
            return False
        known = series.get(said.horizon)
        if known is not None and said.issued_at < known.issued_at:
            return False
        series[said.horizon] = said
        self.urgent += said.status == "issued"
        return True

    def on_score(self, score: ModelScore) -> None:
        """Take the scores of a model, unless a replaced forecaster wrote them."""
        key = place_of(score)
        known = self._scores.get(key)
        if known is None:
            if len(self._scores) >= MAX_SERIES:
                return
            self._sorted = []
        elif (score.generation, score.offset) < (known.generation, known.offset):
            return
        self._scores[key] = score

    def predictions(self, market: Market, interval: Interval) -> list[Prediction]:
        """Return the newest prediction of each horizon, the nearest first."""
        series = self._said.get((market, interval), {})
        return [series[horizon] for horizon in sorted(series)]

    def score(self, market: Market, interval: Interval, horizon: int) -> ModelScore | None:
        """Return the scores of a model, None if it has none yet."""
        return self._scores.get(_place(market, interval, horizon))

    def scores(
        self, market: Market | None, interval: Interval | None, after: str
    ) -> list[ModelScore]:
        """Return scores whose places come after ``after``, sorted by market."""
        if len(self._sorted) != len(self._scores):
            self._sorted = sorted(self._scores)
        found = [self._scores[key] for key in self._sorted[bisect_right(self._sorted, after) :]]
        return [
            score
            for score in found
            if (market is None or score.market == market)
            and (interval is None or score.interval == interval)
        ]


def _together(pair: tuple[Prediction, bytes]) -> tuple[Market, Interval, int, int, str]:
    said, _ = pair
    return said.market, said.interval, said.issued_at, said.expires_at, said.status


def place_of(score: ModelScore) -> str:
    """Return where a model stands in the list of all."""
    return _place(score.market, score.interval, score.horizon)


def _place(market: Market, interval: Interval, horizon: int) -> str:
    return f"{market}|{interval}|{horizon:02}"


def fresh(predictions: Sequence[Prediction], *, now_ms: int) -> list[Prediction]:
    """Return those ``predictions`` that have not expired."""
    return [said for said in predictions if said.expires_at > now_ms]


def verdict(score: ModelScore) -> Verdict:
    """Return whether a model is any good: only what is no luck counts."""
    if score.labels < ENOUGH_LABELS:
        return "learning"
    is_better = score.evidence >= CLAIM and (score.skill or 0.0) > 0.0
    return "better than the base rate" if is_better else "no better than the base rate"


def model_entry(score: ModelScore) -> ModelEntry:
    """Return what readers are told of a model."""
    made = {"verdict", "skill"}
    known = {
        name: getattr(score, name) for name in ModelEntry.__struct_fields__ if name not in made
    }
    return ModelEntry(verdict=verdict(score), skill=score.skill, **known)
