"""Experts: models that each say how likely a market rises, and learn from what it did.

All of them start from the base rate and say how far the features move it, so where there is
nothing to learn they differ from it by their noise alone.
"""

from dataclasses import dataclass

import numpy as np

from chaintide.agents.learning.pool import Versions
from chaintide.agents.learning.rules import BASE, EXPERTS, FEATURES, OWN, SLOW, Rules
from chaintide.agents.learning.table import (
    Column,
    Flags,
    Floats,
    Ints,
    Rows,
    Table,
    bounded,
    cells_of,
    put,
    summed,
)

COVARIANCE_ROWS = 32  # markets a round whose features say how the features hang together
_WIDTH = len(FEATURES)


@dataclass(frozen=True, slots=True)
class Lesson:
    """Labels of ``rows``: features and base logit as issued, and what came of it."""

    rows: Rows
    features: Floats
    base: Floats
    rose: Floats
    learns: Flags  # flat labels teach nothing about the direction


def logistic(logits: Floats) -> Floats:
    """Return probabilities.

    >>> logistic(np.array([0.0, -800.0])).tolist()
    [0.5, 0.0]
    """
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-logits))


def logit(probabilities: Floats) -> Floats:
    """Return log odds.

    >>> logit(np.array([0.5])).tolist()
    [0.0]
    """
    return np.log(probabilities / (1.0 - probabilities))


class OwnExperts:
    """Three linear experts for each market, which step quickly, steadily and slowly."""

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.horizon = horizon
        self.table = Table(
            {
                "weights": Column(shape=(OWN, _WIDTH), single=True),
                "scales": Column(1.0, (_WIDTH,), single=True),
                "lessons": Column(),
                "speed": Column(1.0),
            }
        )

    def shifts(self, features: Floats, rows: Rows) -> Floats:
        """Return how far each expert moves the log odds: ``[markets, experts]``."""
        floats, features = self.table.floats, _single(features)
        weights = cells_of(floats["weights"], rows)
        shifts = summed(weights * features[:, None])
        step = np.maximum(self._first(rows), self.rules.steps[SLOW] * floats["speed"][rows])
        noise = _single(step * (self.rules.doubt * 0.5))[:, None] / cells_of(floats["scales"], rows)
        shifts[:, SLOW] = summed(shrunk(weights[:, SLOW], noise) * features)
        return np.asarray(shifts, dtype=np.float64)

    def begin(self, rows: Ints, speed: float) -> None:
        """Let ``rows`` know nothing, and step ``speed`` times as far as the rules say."""
        self.table.reset(rows)
        self.table.floats["speed"][rows] = speed

    def renew(self, rows: Ints) -> None:
        """Measure the features of ``rows`` anew: their scales may have changed."""
        self.table.floats["scales"][rows] = 1.0

    def learn(self, lesson: Lesson) -> None:
        """Step towards what would have been right, each expert at its own pace."""
        rules, floats = self.rules, self.table.floats
        rows, features = lesson.rows, _single(lesson.features)
        lessons, learns = floats["lessons"][rows], lesson.learns.astype(np.float64)
        square = features * features
        scales = cells_of(floats["scales"], rows)
        pace = np.maximum(1.0 / (lessons + 20.0), 1.0 / (rules.scale_span * self.horizon))
        square -= scales
        square *= _single(pace * learns)[:, None]
        scales += square
        weights = cells_of(floats["weights"], rows)
        products = weights * features[:, None]
        errors = logistic(summed(products) + lesson.base[:, None])
        errors -= lesson.rose[:, None]
        steps = np.array(rules.steps) * floats["speed"][rows][:, None]
        errors *= np.maximum(steps, self._first(rows)[:, None])
        errors = _single(errors * (learns / self.horizon)[:, None])
        direction = features / (scales + 0.02)
        np.multiply(direction[:, None], errors[:, :, None], out=products)
        weights -= products
        if not isinstance(rows, slice):  # then these are copies
            put(floats["weights"], rows, weights)
            put(floats["scales"], rows, scales)
        floats["lessons"][rows] = lessons + learns

    def _first(self, rows: Rows) -> Floats:
        """Return the step of every expert at first, over the number of labels."""
        lessons = self.table.floats["lessons"][rows]
        return self.rules.first_step / (lessons / self.horizon + self.rules.settling)


class PooledExpert:
    """One linear expert that all markets share and teach, by Newton steps.

    The weights move at the end of a round, in which every market is heard once at most. So it
    does not matter how the candles of a round were grouped. What is said of a candle is said with
    the weights of when the first candle of its time came, so a market that is late is told
    nothing of labels that were not known by then. Its own labels teach all the same.
    """

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.horizon = horizon
        self.table = Table(
            {
                "slopes": Column(shape=(_WIDTH,), single=True),
                "features": Column(shape=(_WIDTH,), single=True),
            },
            {"labels": Column()},
        )
        self.weights = np.zeros(_WIDTH)
        self.trusted = np.zeros(_WIDTH)
        self.information = np.eye(_WIDTH) * (rules.pool_prior * horizon)
        self.rounds = np.zeros(1, dtype=np.int64)
        self.versions = Versions(_WIDTH)

    def shifts(self, features: Floats, candles: Ints) -> Floats:
        """Return how far the expert moves the log odds of each market when ``candles`` close."""
        return self.versions.products(features, candles, self.trusted)

    def learn(self, lesson: Lesson) -> None:
        """Hear labels; the weights move when the round is over."""
        rows, learns, features = lesson.rows, lesson.learns, _single(lesson.features)
        shifts = summed(features * _single(self.weights))
        errors = logistic(shifts + lesson.base) - lesson.rose
        self.table.floats["slopes"][rows] += _single(errors * learns)[:, None] * features
        self.table.floats["features"][rows] = features
        self.table.ints["labels"][rows] += learns

    def loose(self) -> dict[str, Floats | Ints]:
        """Return what belongs to no market, by name."""
        return {
            "weights": self.weights,
            "trusted": self.trusted,
            "information": self.information,
            "rounds": self.rounds,
            "versions": self.versions.weights,
            "candles": self.versions.candles,
        }

    def begin(self, candle: int) -> None:
        """End the round, because the first ``candle`` that is newer than all others has come."""
        self.end_round()
        self.versions.add(candle, self.trusted)

    def end_round(self) -> None:
        """Step by all labels that were heard since the last time."""
        rules, rows = self.rules, self.table.rows
        labels = self.table.ints["labels"][:rows]
        heard = np.flatnonzero(labels)
        if not len(heard):
            return
        stride = max(1, len(heard) // COVARIANCE_ROWS)
        heard = heard[int(self.rounds[0]) % stride :: stride]
        keep = 1.0 - 1.0 / (rules.pool_span * self.horizon)
        self.information *= keep
        self.information += np.eye(_WIDTH) * (rules.pool_prior * self.horizon * (1.0 - keep))
        features = self.table.floats["features"][heard].astype(np.float64)
        weight = 0.25 * float(labels.sum()) / len(heard)
        self.information += weight * np.einsum("ni,nj->ij", features, features)
        slope = self.table.floats["slopes"][:rows].sum(axis=0, dtype=np.float64)
        covariance = np.linalg.inv(self.information)
        self.weights -= (covariance * slope).sum(axis=1)
        np.clip(self.weights, -rules.largest_weight, rules.largest_weight, out=self.weights)
        noise = np.diagonal(covariance) * self.horizon
        self.trusted[:] = shrunk(self.weights, noise * rules.doubt)
        self.table.floats["slopes"][:rows] = 0.0
        self.table.ints["labels"][:rows] = 0
        self.rounds += 1


def _single(column: Floats) -> Floats:
    """Return a column half as wide, for arrays that are large and need few digits."""
    return column.astype(np.float32, copy=False)


def shrunk(weights: Floats, noise: Floats) -> Floats:
    """Return weights less what may be chance; those within their noise are 0 (a garrote).

    >>> shrunk(np.array([1.0, -0.5]), np.array([0.25, 0.25])).tolist()
    [0.75, -0.0]
    """
    kept = noise / np.maximum(weights * weights, 1e-12)
    np.subtract(1.0, kept, out=kept)
    np.maximum(kept, 0.0, out=kept)
    kept *= weights
    return kept


def assembled(own: Floats, pooled: Floats, base: Floats, least: float) -> Floats:
    """Return what each expert says, ``[markets, experts]``, from shifts and the base log odds."""
    logits = np.empty((len(own), len(EXPERTS)), order="F")
    logits[:, :OWN] = own
    logits[:, OWN] = pooled
    logits[:, BASE] = 0.0
    logits += base[:, None]
    return bounded(logistic(logits), least, 1.0 - least)
