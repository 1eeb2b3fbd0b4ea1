"""The goals of the learner: one JSON line a figure, ``goal`` beside it.

``--only NAME`` runs one of: signal, surrogate, real, bounce, coverage, drift, stable, promotions,
fuzz, tick, throughput.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from rig.report import report
from rig.series import bars_at, bouncing, known_signal, learned, random_signs, real_series
from river import drift as river_drift
from river import linear_model, preprocessing

from chaintide.agents.learning import backtest
from chaintide.agents.learning.drift import DriftLogic
from chaintide.agents.learning.evidence import Evidence
from chaintide.agents.learning.history import of_candles, of_trades
from chaintide.agents.learning.learner import DEFAULT_HORIZONS, Learner
from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.state import all_arrays
from chaintide.agents.learning.table import Floats
from chaintide.streams.records import Market

PACKAGES = ("numpy", "river")


def signal() -> None:
    """Skill, as a share of that of who knows how the series is made, after 5,000 labels."""
    for markets in (1, 100):
        made = known_signal(8_000, markets, seed=2)
        found = learned(made.prices)
        own = (found.base - found.loss)[5_000:].sum()
        best = (found.base - made.best[1:])[5_000:].sum()
        until = (found.base - found.loss)[:5_000].sum()
        until /= (found.base - made.best[1:])[:5_000].sum()
        figure("signal", own / best, "of the best skill", 0.93, markets=markets, before=until)


def surrogate() -> None:
    """How much worse than the base rate on coins, and how often skill is claimed."""
    for markets, hours in ((200, 4_000), (1, 6_000)):
        made = random_signs(hours, markets, seed=1)
        found = learned(made.prices)
        worse = float((found.loss - found.base).mean())
        claims = found.learner.horizons[1].evidence.value(slice(0, markets)) >= Rules().claim
        figure("surrogate.loss", worse, "nats worse than the base rate", 0.0005, streams=markets)
        figure("surrogate.claims", float(claims.mean()), "of streams", 0.05, streams=markets)


def real() -> None:
    """How much worse than the base rate on real series, with what a leak would show."""
    for series in real_series():
        history = of_candles(series.candles, series.interval)
        for horizon in (1, 5):
            [verdict] = backtest.run(history, horizon).markets.values()
            score = verdict.score
            last = verdict.last_price or backtest.Variant(score.brier, score.brier_base)
            figure(
                f"real.{series.name}",
                score.brier - score.brier_base,
                "Brier worse than the base rate",
                0.001,
                horizon=horizon,
                labels=score.labels,
                gap1=score.gap1_brier - score.gap1_brier_base,
                last_price=last.brier - last.brier_base,
                immediate=verdict.immediate.brier - verdict.immediate.brier_base,
                ece=score.ece,
                ece_floor=score.ece_floor,
                covered=[score.coverage_50, score.coverage_80, score.coverage_90],
                drift_alarms=verdict.drift_alarms,
            )


def bounce() -> None:
    """Skill on trades at bid or ask by coin, beside what labels of last prices would claim.

    The mean of a minute with two trades bounces too: ``gap1`` says so.
    """
    for a_minute, horizon, goal in ((6, 1, 0.001), (6, 5, 0.001), (2, 1, None)):
        history = of_trades(bouncing(15_000, 8, seed=11, a_minute=a_minute), "15m")
        verdicts = list(backtest.run(history, horizon).markets.values())
        scores = [verdict.score for verdict in verdicts]
        figure(
            "bounce",
            _better((score.brier, score.brier_base) for score in scores),
            "Brier better than the base rate, where nothing can be known",
            goal,
            horizon=horizon,
            trades_a_minute=a_minute,
            labels=sum(score.labels for score in scores),
            gap1=_better((score.gap1_brier, score.gap1_brier_base) for score in scores),
            last_price=_better(_pair(verdict.last_price) for verdict in verdicts),
            immediate=_better(_pair(verdict.immediate) for verdict in verdicts),
        )


def coverage() -> None:
    """How far the shares inside the intervals are from 50, 80 and 90 %."""
    found = learned(random_signs(4_000, 50, seed=3).prices).shares()
    for level, shares in found.items():
        off = float(np.abs(shares - int(level) / 100).max()) * 100
        figure(f"coverage.{level}", off, "points off, worst of 50 streams", 1.5)


def drift() -> None:
    """Labels until a loss that is 0.12 nats higher is found, by how far forecasts reach."""
    for p_up in (0.56, 0.60, 0.65):
        losses = _losses(p_up, 2_600, 100, np.random.default_rng(4), worse_from=2_000)
        delays = np.full(100, np.inf)
        logic = _watch(100)
        for label, row in enumerate(losses):
            for found in logic.learn(np.arange(100), row):
                delays[found] = min(delays[found], label - 1_999)
        early = int((delays < 1).sum())
        figure("drift.delay", float(np.median(delays)), "labels, median", 250, p=p_up, early=early)
    made = known_signal(4_000, 50, seed=3, flip=3_000)
    drifts = learned(made.prices).drifts
    first = {row: hour for hour, row in reversed(drifts) if hour >= 3_000}
    delays = [first.get(row, 10**6) - 3_000 for row in range(50)]
    early = sum(hour < 3_000 for hour, _ in drifts)
    figure("drift.flip", float(np.median(delays)), "labels, median", 250, early=early)


def stable() -> None:
    """False alarms in 72,000 labels where nothing changes."""
    for p_up in (0.56, 0.60, 0.65, 0.75):
        losses = _losses(p_up, 3_000, 24, np.random.default_rng(5))
        logic = _watch(24)
        alarms = sum(len(logic.learn(np.arange(24), row)) for row in losses)
        figure("drift.false", alarms, "alarms in 72,000 labels", 0, p=p_up)
    found = learned(known_signal(3_600, 20, seed=6).prices)
    figure("drift.false", len(found.drifts), "alarms in 72,000 labels", 0, p="learned")


def promotions() -> None:
    """How often a challenger that is exactly as good takes over, looked at after each label."""
    rng, pairs = np.random.default_rng(7), 1_000
    evidence = Evidence(Rules(), 1)
    evidence.table.grow(pairs)
    every, won = slice(0, pairs), np.zeros(pairs, dtype=np.bool_)
    for label in range(2_000):
        truth = rng.uniform(0.3, 0.7, pairs)
        one, other = (truth + rng.normal(0, 0.05, pairs) for _ in range(2))
        rose = (rng.random(pairs) < truth).astype(np.float64)
        gains = (other - rose) ** 2 - (one - rose) ** 2
        bets = evidence.bets(one, other, every)
        evidence.learn(every, np.full(pairs, label), bets, gains)
        won |= evidence.value(every) >= Rules().claim
    figure("promotions.false", float(won.mean()), "of 1,000 challengers", 0.05)


def fuzz() -> None:
    """Numbers that are not finite after a stream of which every fifth number is wild."""
    rng = np.random.default_rng(8)
    made = random_signs(1_000, 50, seed=8)
    wild = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, 5e-324]
    learner = Learner("1h", DEFAULT_HORIZONS)
    learner.rows([Market(f"made:M{number}") for number in range(50)])
    bad = 0
    for hour in range(1_000):
        bars = bars_at(made.prices, hour)
        for column in (bars.price, bars.high, bars.low, bars.volume, bars.bought):
            hit = rng.random(50) < 0.2
            column[hit] = rng.choice(wild, int(hit.sum()))
        for tick in learner.on_closed(bars):
            one = tick.issued
            bad += int((~np.isfinite(one.quantiles)).sum())
            bad += sum(int((~np.isfinite(a)).sum()) for a in (one.p_up, one.p_flat, one.evidence))
    arrays = {n: a for n, a in all_arrays(learner).items() if not n.endswith("drift.least")}
    bad += sum(int((~np.isfinite(array)).sum()) for array in arrays.values())
    figure("fuzz", bad, "numbers that are not finite", 0)


def tick() -> None:
    """Time of one tick of 1,000 markets, from closed candles to predictions."""
    for horizons in ((1,), DEFAULT_HORIZONS):
        spent = np.array(list(_ticks(1_000, horizons, 400))) * 1000
        p99 = float(np.percentile(spent, 99))
        figure("tick", p99, "ms, p99", 5, horizons=len(horizons), median=float(np.median(spent)))


def throughput() -> None:
    """Steps (one market at one horizon) a second, beside a river pipeline for each symbol."""
    peer = _river(1_000, 30)
    for markets in (1_000, 4_000):
        spent = float(np.median(list(_ticks(markets, DEFAULT_HORIZONS, 120))))
        value = markets * len(DEFAULT_HORIZONS) / spent
        figure("throughput", value, "steps/s", 1_000_000, {"river": value / peer}, markets=markets)
    figure("throughput.river", peer, "steps/s", None)


def _pair(variant: backtest.Variant) -> tuple[float, float]:
    return variant.brier, variant.brier_base


def _better(briers: Iterable[tuple[float, float]]) -> float:
    """Return how much lower the first is than the second in the mean."""
    return float(np.mean([base - own for own, base in briers]))


def _river(symbols: int, ticks: int) -> float:
    """Return the steps a second of a river pipeline and two detectors for each symbol."""
    rng = np.random.default_rng(9)
    models = [
        (
            preprocessing.StandardScaler() | linear_model.LogisticRegression(),
            river_drift.ADWIN(),
            river_drift.PageHinkley(),
        )
        for _ in range(symbols)
    ]
    rows = [{f"x{n}": v for n, v in enumerate(rng.normal(size=15).tolist())} for _ in range(64)]
    began = time.process_time()
    for number in range(ticks):
        for place, (model, adwin, page) in enumerate(models):
            x, y = rows[(number + place) % 64], bool((number * place) % 2)
            p_up = model.predict_proba_one(x).get(True, 0.5)
            model.learn_one(x, y)
            loss = (p_up - y) ** 2
            adwin.update(loss)
            page.update(loss)
    return symbols * ticks / (time.process_time() - began)


def _ticks(markets: int, horizons: tuple[int, ...], number: int) -> Iterator[float]:
    """Yield the processor time of each tick, once all horizons have labels."""
    made = random_signs(number + 60, markets, seed=10)
    learner = Learner("1h", horizons)
    learner.rows([Market(f"made:M{row}") for row in range(markets)])
    candles = [bars_at(made.prices, hour) for hour in range(number + 60)]
    for hour, bars in enumerate(candles):
        began = time.process_time()
        learner.on_closed(bars)
        if hour >= 60:
            yield time.process_time() - began


def _watch(markets: int) -> DriftLogic:
    logic = DriftLogic(Rules())
    logic.table.grow(markets)
    return logic


def _losses(
    p_up: float,
    labels: int,
    markets: int,
    rng: np.random.Generator,
    worse_from: int | None = None,
) -> Floats:
    """Return log-loss differences of forecasts that are right with ``p_up``, and then less."""
    right, wrong = np.log(0.5) - np.log(p_up), np.log(0.5) - np.log(1.0 - p_up)
    chance = np.full(labels, p_up)
    if worse_from is not None:
        chance[worse_from:] -= 0.12 / (wrong - right)
    return np.where(rng.random((labels, markets)) < chance[:, None], right, wrong)


def figure(
    name: str,
    value: float,
    unit: str,
    goal: float | None,
    ratio: dict[str, float] | None = None,
    **parameters: object,
) -> None:
    report(f"learning.{name}", float(value), unit, ratio=ratio, packages=PACKAGES, goal=goal,
           **parameters)  # fmt: skip


PARTS: dict[str, Callable[[], None]] = {
    part.__name__: part
    for part in (
        signal, surrogate, real, bounce, coverage, drift, stable, promotions, fuzz, tick,
        throughput,
    )
}  # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="the goal to measure")
    only = parser.parse_args().only
    for part in [PARTS[only]] if only else PARTS.values():
        part()
