"""Predictions and scores to test with."""

from typing import Any

from candles import MARKET

from chaintide.streams.intervals import WIDTH_MS
from chaintide.streams.probabilities import (
    ModelScore,
    Prediction,
    PredictionBatch,
    ReliabilityBin,
    Step,
)

QUANTILES = [63_900.0, 63_940.0, 63_980.0, 64_000.5, 64_020.0, 64_060.0, 64_100.25]


def prediction(candle: int = 0, *, market: str = MARKET, **changes: Any) -> Prediction:
    """Return what was predicted when ``candle`` closed, with ``changes``."""
    interval, horizon = changes.get("interval", "1m"), changes.get("horizon", 1)
    width = WIDTH_MS[interval]
    issued = (candle + 1) * width
    fields: dict[str, Any] = {
        "prediction_id": f"{market}|{interval}|{horizon}|{issued}",
        "market": market,
        "interval": interval,
        "horizon": horizon,
        "issued_at": issued,
        "due_at": issued + horizon * width,
        "expires_at": issued + width + 60_000,
        "p_up": 0.53,
        "p_flat": 0.01,
        "p_down": 0.46,
        "confidence": 0.3,
        "evidence": 1.5,
        "n_labels": 600,
        "price_ref": 64_000.1,
        "price_source": "close",
        "price_target": QUANTILES[3],
        "quantiles": QUANTILES,
        "model_id": f"{interval}/{horizon}",
        "model_version": "5f0c0b7c1d0e",
        "features_hash": "9a1be27734fa",
        "methodology": "guessing",
        "status": "issued",
    }
    return Prediction(**(fields | changes))


def predicted(*predictions: Prediction, offset: int = 0) -> PredictionBatch:
    """Return ``predictions`` as one batch."""
    return PredictionBatch(generation=1, offset=offset, predictions=list(predictions))


def score(candle: int = 0, *, market: str = MARKET, **changes: Any) -> ModelScore:
    """Return what was known of a model when ``candle`` closed, with ``changes``."""
    interval = changes.get("interval", "1m")
    fields: dict[str, Any] = {
        "market": market,
        "interval": interval,
        "horizon": 1,
        "as_of_ms": (candle + 1) * WIDTH_MS[interval],
        "model_id": f"{interval}/{changes.get('horizon', 1)}",
        "model_version": "5f0c0b7c1d0e",
        "features_hash": "9a1be27734fa",
        "generation": 1,
        "offset": 7,
        "issued": 620,
        "resolved": 600,
        "pending": 18,
        "void": 2,
        "amended": 1,
        "labels": 600,
        "flats": 6,
        "log_loss": 0.6929,
        "log_loss_base": 0.6931,
        "brier": 0.2499,
        "brier_base": 0.25,
        "ece": 0.03,
        "ece_floor": 0.06,
        "coverage_50": 0.51,
        "coverage_80": 0.79,
        "coverage_90": 0.9,
        "gap1_brier": None,
        "gap1_brier_base": None,
        "evidence": 1.5,
        "drift_alarms": 1,
        "has_challenger": True,
        "challengers": 1,
        "promotions": 0,
        "bins": [ReliabilityBin(300, 0.48, 0.47), ReliabilityBin(300, 0.52, 0.55)],
        "steps": [Step(60_000, "drift")],
    }
    return ModelScore(**(fields | changes))
