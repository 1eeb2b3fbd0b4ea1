"""What is said of probabilities on topics: predictions, and how good they turned out."""

from typing import Final, Literal

import msgspec

from chaintide.streams.intervals import Interval
from chaintide.streams.records import SCHEMA_VERSION, Market

PriceSource = Literal["close", "vwap"]
PredictionStatus = Literal["issued", "refreshed", "expired"]
StepKind = Literal["drift", "challenger", "promoted", "given_up"]


_TOLD: Final = {
    "p_up": "probability_up",
    "p_flat": "probability_flat",
    "p_down": "probability_down",
    "confidence": "confidence_level",
}


class Prediction(msgspec.Struct, frozen=True, kw_only=True, rename=_TOLD, gc=False):
    """How likely a market is higher, unchanged or lower ``horizon`` candles on.

    It speaks of ``due_at`` and must not be shown as current from ``expires_at`` on, when readers
    are told that it is ``expired``. It was ``issued`` when a candle closed, and is then scored, or
    ``refreshed`` in between. ``confidence_level`` 0 means that this is the base rate and nothing
    else. ``evidence`` is what a bettor against the base rate would have made of 1; from 20 on
    skill is no luck. ``quantiles`` are prices at 5, 10, 25, 50, 75, 90 and 95 %;
    ``price_target`` is the middle one.
    """

    prediction_id: str
    market: Market
    interval: Interval
    horizon: int
    issued_at: int
    due_at: int
    expires_at: int
    p_up: float
    p_flat: float
    p_down: float
    confidence: float
    evidence: float
    n_labels: int
    price_ref: float
    price_source: PriceSource
    price_target: float
    quantiles: list[float]
    model_id: str
    model_version: str
    features_hash: str
    methodology: str
    status: PredictionStatus

    def told(self, *, now_ms: int) -> "Prediction":
        """Return what readers are told ``now_ms``: perhaps that it has expired."""
        is_fresh = self.expires_at > now_ms
        return self if is_fresh else msgspec.structs.replace(self, status="expired")


class PredictionBatch(msgspec.Struct, frozen=True, kw_only=True, tag="predictions"):
    """Predictions of markets of one partition that were made together, the oldest first of each.

    ``generation`` and ``offset`` say which owner of the partition wrote it after which input.
    """

    generation: int
    offset: int
    predictions: list[Prediction]
    v: int = SCHEMA_VERSION


class PredictionTexts(msgspec.Struct, frozen=True, tag="predictions"):
    """The predictions of a batch as they were written, for whoever passes them on."""

    predictions: list[msgspec.Raw]


class ReliabilityBin(msgspec.Struct, frozen=True):
    """Predictions of about the same probability: what was said, and how often it came."""

    labels: int
    said: float
    came: float


class Step(msgspec.Struct, frozen=True):
    """What happened to a model: a drift, or that a challenger began, took over or was given up."""

    time_ms: int
    kind: StepKind


class ModelScore(msgspec.Struct, frozen=True, kw_only=True, tag="score"):
    """How good the predictions of one market at one interval and horizon were.

    ``as_of_ms`` is the close of the candle that brought the last label. Figures are ``None``
    until something was scored. ``issued`` is ``resolved`` + ``pending`` + ``void``; ``amended``
    labels are resolved ones that were corrected. ``steps`` are the last 20.
    """

    market: Market
    interval: Interval
    horizon: int
    as_of_ms: int
    model_id: str
    model_version: str
    features_hash: str
    generation: int
    offset: int
    issued: int
    resolved: int
    pending: int
    void: int
    amended: int
    labels: int
    flats: int
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
    bins: list[ReliabilityBin]
    steps: list[Step] = []
    v: int = SCHEMA_VERSION

    @property
    def skill(self) -> float | None:
        """Return the share of the base rate's log-loss that is saved; below 0 it is worse."""
        if self.log_loss is None or not self.log_loss_base:
            return None
        return 1.0 - self.log_loss / self.log_loss_base


ForecastMessage = PredictionBatch | ModelScore


def score_key(market: Market, interval: Interval, horizon: int) -> str:
    """Return the key of a score's record.

    >>> score_key(Market("kraken:BTC-USD"), "1m", 5)
    'kraken:BTC-USD|1m|5'
    """
    return f"{market}|{interval}|{horizon}"
