"""Candles become columns, and columns predictions: the two ends of a learner."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from chaintide.agents.learning.bars import Bars
from chaintide.agents.learning.learner import Learner, Tick
from chaintide.agents.learning.rules import Rules, digest, features_hash, model_version
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.probabilities import Prediction, PredictionStatus
from chaintide.streams.records import Candle

PATIENCE_MS: Final = MINUTE_MS
_MOST_LOG: Final = 700.0  # of a price: what comes after e to this is no number
_FEATURES_HASH: Final = features_hash()
METHODOLOGY: Final = (
    "mixture of online linear experts and a base rate; delayed labels; online Platt"
)


def on_minutes(learner: Learner, candles: Sequence[Candle]) -> None:
    """Tell ``learner`` of closed one-minute candles, before the longer ones that end with them."""
    for candle in candles:
        if candle.vwap is not None:
            row = learner.row(candle.market)
            learner.references.on_minute(row, float(candle.vwap), candle.close_time_ms)


def _nothing(_: Candle) -> None:
    return None


def bars_of(
    learner: Learner, candles: Sequence[Candle], newer: Callable[[Candle], float | None] = _nothing
) -> Bars:
    """Return candles of the learner's interval as columns.

    ``newer`` knows prices of minutes that the learner has not been told of.
    """
    rows = learner.rows([candle.market for candle in candles])
    mids = [
        learner.references.mid(int(row), candle.close_time_ms, quiet=candle.fill == "carry")
        if (mid := newer(candle)) is None
        else mid
        for row, candle in zip(rows, candles, strict=True)
    ]
    volumes = np.array([_number(candle.volume) for candle in candles])
    bought = np.array([_number(candle.taker_buy_volume) for candle in candles])
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(volumes > 0, bought / volumes, np.nan)
    closes = [_number(candle.close) for candle in candles]
    prices = [close if mid is None else mid for mid, close in zip(mids, closes, strict=True)]
    return Bars(
        rows=rows,
        open_time_ms=np.array([candle.open_time_ms for candle in candles], dtype=np.int64),
        price=np.array(prices, dtype=np.float64),
        high=np.array([_number(candle.high) for candle in candles]),
        low=np.array([_number(candle.low) for candle in candles]),
        volume=volumes,
        bought=shares,
        quiet=np.array([candle.fill == "carry" for candle in candles], dtype=np.bool_),
        mid=np.array([mid is not None for mid in mids], dtype=np.bool_),
    )


def predictions(
    learner: Learner, tick: Tick, *, status: PredictionStatus = "issued", now_ms: int | None = None
) -> list[Prediction]:
    """Return the predictions of a tick as records.

    Refreshed ones are issued ``now_ms``, by event time; others when their candle closed.
    """
    issued, horizon, interval, width = tick.issued, tick.horizon, learner.interval, learner.width_ms
    speeds = learner.horizons[horizon].champion.own.table.floats["speed"][issued.rows].tolist()
    versions = {speed: version(learner.rules, speed) for speed in set(speeds)}
    prices = np.exp(np.minimum(issued.log_price[:, None] + issued.quantiles, _MOST_LOG)).tolist()
    columns = (
        issued.rows, learner.close_ms(issued.candles), issued.p_up, issued.p_flat,
        1.0 - issued.p_up - issued.p_flat, issued.confidence, issued.evidence, issued.labels,
        np.exp(issued.log_price), tick.bars.mid,
    )  # fmt: skip
    places = zip(*(column.tolist() for column in columns), prices, speeds, strict=True)
    model, due_ms = f"{interval}/{horizon}", horizon * width
    fresh_ms = width + min(width, PATIENCE_MS)
    records = []
    for row, close_ms, up, flat, down, sure, evidence, labels, price, mid, along, speed in places:
        market = learner.markets[row]
        issued_at = close_ms if now_ms is None else now_ms
        records.append(
            Prediction(
                prediction_id=f"{market}|{interval}|{horizon}|{issued_at}",
                market=market,
                interval=interval,
                horizon=horizon,
                issued_at=issued_at,
                due_at=issued_at + due_ms,
                expires_at=issued_at + fresh_ms,
                p_up=up,
                p_flat=flat,
                p_down=down,
                confidence=sure,
                evidence=evidence,
                n_labels=labels,
                price_ref=price,
                price_source="vwap" if mid else "close",
                price_target=along[3],
                quantiles=along,
                model_id=model,
                model_version=versions[speed],
                features_hash=_FEATURES_HASH,
                methodology=METHODOLOGY,
                status=status,
            )
        )
    return records


@lru_cache(maxsize=64)
def version(rules: Rules, speed: float) -> str:
    """Return the version of a model that learns by ``rules``, ``speed`` times as fast."""
    return digest(model_version(rules).encode(), str(speed).encode())


def _number(text: str) -> float:
    """Return a number, NaN where there is none: the learner knows what to do about it."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
