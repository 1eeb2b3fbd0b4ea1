"""Candles become columns, and columns predictions: the two ends of a learner."""

from collections.abc import Sequence

import numpy as np

from chaintide.agents.learning.bars import Bars
from chaintide.agents.learning.learner import Learner, Tick
from chaintide.agents.learning.records import Prediction, PredictionStatus
from chaintide.agents.learning.rules import digest, features_hash, model_version
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Candle

PATIENCE_MS = MINUTE_MS


def on_minutes(learner: Learner, candles: Sequence[Candle]) -> None:
    """Tell ``learner`` of closed one-minute candles, before the longer ones that end with them."""
    for candle in candles:
        if candle.vwap is not None:
            row = learner.row(candle.market)
            learner.references.on_minute(row, float(candle.vwap), candle.close_time_ms)


def bars_of(learner: Learner, candles: Sequence[Candle]) -> Bars:
    """Return candles of the learner's interval as columns."""
    rows = learner.rows([candle.market for candle in candles])
    mids = [
        learner.references.mid(int(row), candle.close_time_ms)
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
    issued, horizon = tick.issued, tick.horizon
    own = learner.horizons[horizon].champion.own.table.floats["speed"]
    version, names = model_version(learner.rules), features_hash()
    prices = np.exp(issued.log_price[:, None] + issued.quantiles)
    records = []
    for place, row in enumerate(issued.rows.tolist()):
        market, candle = learner.markets[row], int(issued.candles[place])
        issued_at = learner.close_ms(candle) if now_ms is None else now_ms
        p_up, p_flat = float(issued.p_up[place]), float(issued.p_flat[place])
        records.append(
            Prediction(
                prediction_id=f"{market}|{learner.interval}|{horizon}|{issued_at}",
                market=market,
                interval=learner.interval,
                horizon=horizon,
                issued_at=issued_at,
                due_at=issued_at + horizon * learner.width_ms,
                expires_at=issued_at + learner.width_ms + min(learner.width_ms, PATIENCE_MS),
                p_up=p_up,
                p_flat=p_flat,
                p_down=1.0 - p_up - p_flat,
                confidence=float(issued.confidence[place]),
                evidence=float(issued.evidence[place]),
                n_labels=int(issued.labels[place]),
                price_ref=float(np.exp(issued.log_price[place])),
                price_source="vwap" if tick.bars.mid[place] else "close",
                price_target=float(prices[place, 3]),
                quantiles=prices[place].tolist(),
                model_id=f"{learner.interval}/{horizon}",
                model_version=digest(version.encode(), str(own[row]).encode()),
                features_hash=names,
                status=status,
            )
        )
    return records


def _number(text: str) -> float:
    """Return a number, NaN where there is none: the learner knows what to do about it."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
