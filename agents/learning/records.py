"""What is told of probabilities, as immutable values."""

from typing import Literal

import msgspec

from chaintide.streams.intervals import Interval
from chaintide.streams.records import SCHEMA_VERSION, Market

PriceSource = Literal["close", "vwap"]
PredictionStatus = Literal["issued", "refreshed"]
METHODOLOGY = "mixture of online linear experts and a base rate; delayed labels; online Platt"


class Prediction(msgspec.Struct, frozen=True, kw_only=True, tag="prediction"):
    """How likely a market is higher, unchanged or lower ``horizon`` candles on.

    ``confidence`` is 0 where this is the base rate and nothing else. ``evidence`` is what a
    bettor against the base rate would have made of 1; from 20 on the skill is no luck.
    ``quantiles`` are prices at 5, 10, 25, 50, 75, 90 and 95 %; ``price_target`` is the middle one.
    It was ``issued`` when a candle closed, and is then scored, or ``refreshed`` in between.
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
    methodology: str = METHODOLOGY
    status: PredictionStatus = "issued"
    v: int = SCHEMA_VERSION
