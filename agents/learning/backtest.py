"""The learner over a history, label by label as it would have been, and variants beside it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from chaintide.agents.learning.bars import Bars, repaired, usable
from chaintide.agents.learning.features import FeatureLogic
from chaintide.agents.learning.history import History
from chaintide.agents.learning.horizon import HorizonLogic, Settled
from chaintide.agents.learning.learner import Learner
from chaintide.agents.learning.pending import Counts
from chaintide.agents.learning.rules import Rules, features_hash, model_version
from chaintide.agents.learning.scores import Score, Scores
from chaintide.agents.learning.table import Flags, Floats, Ints, rows_until
from chaintide.streams.intervals import ORIGIN_MS, WIDTH_MS, Interval
from chaintide.streams.records import Market


class Variant(msgspec.Struct, frozen=True):
    """The scores of the same candles, learned or judged in another way."""

    brier: float | None
    brier_base: float | None


class Curve(msgspec.Struct, frozen=True):
    """Sum of what was gained on the base rate in log-loss, label by label."""

    times_ms: list[int]
    gains: list[float]
    drifts_ms: list[int]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a backtest says of one market.

    ``immediate`` is how good it would seem if every label were known at once, ``last_price`` if
    labels were made of last trades; ``None`` if they are.
    """

    score: Score
    drift_alarms: int
    evidence: float
    immediate: Variant
    last_price: Variant | None
    curve: Curve


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a backtest says."""

    interval: Interval
    horizon: int
    model_version: str
    features_hash: str
    counts: Counts
    markets: dict[Market, Verdict]


@dataclass(frozen=True, slots=True)
class _Events:
    """The labels of all markets, in the order in which they were known."""

    rows: Ints
    times_ms: Ints
    gains: Floats
    drifted: Flags


def run(history: History, horizon: int, rules: Rules | None = None) -> Report:
    """Return how the learner did on ``history``, predicting ``horizon`` candles ahead."""
    rules = rules or Rules()
    learner, events = _learned(history, history.bars, horizon, rules)
    logic = learner.horizons[horizon]
    hindsight = immediate(history, horizon, rules)
    last = None
    if history.bars.mid.any():
        bars = replace(history.bars, price=history.last)
        last = _learned(history, bars, horizon, rules)[0].horizons[horizon].scores
    evidence = logic.evidence.value(slice(0, len(history.markets)))
    verdicts = {
        market: Verdict(
            score=logic.scores.of(row),
            drift_alarms=int(logic.drift.table.ints["alarms"][row]),
            evidence=float(evidence[row]),
            immediate=_variant(hindsight, row),
            last_price=None if last is None else _variant(last, row),
            curve=_curve(events, row),
        )
        for row, market in enumerate(history.markets)
    }
    return Report(
        interval=history.interval,
        horizon=horizon,
        model_version=model_version(rules),
        features_hash=features_hash(),
        counts=logic.pending.counts(),
        markets=verdicts,
    )


def immediate(history: History, horizon: int, rules: Rules) -> Scores:
    """Return the scores of a learner that is told what comes before it can be known.

    It is what many backtests do by mistake. Beyond one candle ahead it shows skill where there
    is none.
    """
    features = FeatureLogic(WIDTH_MS[history.interval])
    logic = HorizonLogic(rules, 1)
    for table in (features.table, *logic.tables().values()):
        table.grow(len(history.markets))
    labels = _ahead(history, horizon)
    place = 0
    for tick in history.ticks():
        known = labels[place : place + len(tick)]
        place += len(tick)
        good = usable(tick)
        bars = repaired(tick.at(good))
        logic.pooled.begin(int(_candles(tick, history.interval)[0]))
        chosen = rows_until(len(history.markets), bars.rows)
        seen = features.on_closed(bars, chosen)
        told = replace(seen, label=known[good])
        logic.on_closed(bars.rows, _candles(bars, history.interval), told)
    return logic.scores


def _ahead(history: History, horizon: int) -> Floats:
    """Return the log price that will judge the prediction of each market's candle before."""
    prices = history.bars.price
    logs = np.log(np.where(np.isfinite(prices) & (prices > 0), prices, 1.0))
    ahead = np.empty(len(logs))
    for row in range(len(history.markets)):
        places = np.flatnonzero(history.bars.rows == row)
        shifted = np.minimum(np.arange(len(places)) + horizon - 1, len(places) - 1)
        ahead[places] = logs[places[shifted]]
    return ahead


def _learned(history: History, bars: Bars, horizon: int, rules: Rules) -> tuple[Learner, _Events]:
    learner = Learner(history.interval, (horizon,), rules)
    learner.rows(history.markets)
    settled = list(_settled(learner, bars))
    none = np.zeros(0, dtype=np.int64)
    drifted = [np.isin(one.rows, one.drifted) for one in settled]
    known = np.concatenate([none, *(one.known for one in settled)])
    rows = np.concatenate([none, *(one.rows for one in settled)])
    gains = [one.graded.log_loss_base - one.graded.log_loss for one in settled]
    return learner, _Events(
        rows=rows,
        times_ms=(known + 1) * learner.width_ms + ORIGIN_MS[history.interval],
        gains=np.concatenate([np.zeros(0), *gains]),
        drifted=np.concatenate([np.zeros(0, dtype=np.bool_), *drifted]),
    )


def _settled(learner: Learner, bars: Bars) -> Iterator[Settled]:
    for start in range(0, len(bars), 1_000):
        for tick in learner.on_closed(bars.at(slice(start, start + 1_000))):
            yield from tick.settled


def _candles(bars: Bars, interval: Interval) -> Ints:
    return (bars.open_time_ms - ORIGIN_MS[interval]) // WIDTH_MS[interval]


def _variant(scores: Scores, row: int) -> Variant:
    score = scores.of(row)
    return Variant(score.brier, score.brier_base)


def _curve(events: _Events, row: int) -> Curve:
    own = events.rows == row
    return Curve(
        times_ms=events.times_ms[own].tolist(),
        gains=np.cumsum(events.gains[own]).tolist(),
        drifts_ms=events.times_ms[own & events.drifted].tolist(),
    )
