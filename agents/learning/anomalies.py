"""Which trades and chain events are unlike those before, and why."""

import math
from collections import OrderedDict
from typing import Final

import msgspec
from river.anomaly import GaussianScorer, HalfSpaceTrees

from chaintide.agents.learning.tasks import Bounds, Features, Model, Task, TaskState
from chaintide.streams.records import Market

REASONS: Final[dict[str, str]] = {
    "size": "unusually large",
    "pace": "unusually many in a short time",
    "impact": "moved the price unusually far",
    "newness": "large, and from an address not seen before",
    "combination": "an unusual combination of size, pace and impact",
}
LEAST_EXAMPLES: Final = 100
STRIKING: Final = 0.99999  # of a bell curve, both sides: 4.4 standard deviations
MAX_ADDRESSES: Final = 10_000
_SLOW: Final = 1 / 50
_QUICK: Final = 1 / 8
_SQUEEZE: Final = 4.0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A trade, or another event of a chain with an amount; ``key`` is its identity."""

    market: Market
    key: str
    time_us: int
    size: float
    price: float | None = None
    address: str | None = None


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """How strange an event is, from 0 to 1, and what about it; the strangest reason first."""

    market: Market
    key: str
    time_us: int
    score: float
    is_alarm: bool
    reasons: list[str]
    scores: dict[str, float]


class AnomalyState(msgspec.Struct, frozen=True):
    """All that is known of one market."""

    task: TaskState
    means: dict[str, float]
    addresses: list[str]
    last_us: int | None
    last_price: float | None


class Trees:
    """River's half-space trees over features that are squeezed into ``[0, 1]``."""

    def __init__(self) -> None:
        self._trees = HalfSpaceTrees(n_trees=15, height=6, window_size=LEAST_EXAMPLES, seed=1)

    def score_one(self, x: Features) -> float:
        """Return how rare the combination is, from 0 to 1."""
        score = self._trees.score_one(_squeezed(x))  # type: ignore[no-untyped-call]
        return float(score)

    def learn_one(self, x: Features, y: float | None) -> None:
        """Learn one example; there are no labels."""
        del y
        self._trees.learn_one(_squeezed(x))  # type: ignore[no-untyped-call]


class Bells:
    """River's Gaussian scorer for each feature; what is above the mean counts."""

    def __init__(self) -> None:
        self._scorers: dict[str, GaussianScorer] = {}

    def score_each(self, x: Features) -> dict[str, float]:
        """Return how far out each feature is, from 0 to 1."""
        return {n: _above(self._scorers[n], value) for n, value in x.items() if n in self._scorers}

    def score_one(self, x: Features) -> float:
        """Return how far out the strangest feature is."""
        return max(self.score_each(x).values(), default=0.0)

    def learn_one(self, x: Features, y: float | None) -> None:
        """Learn one example; there are no labels."""
        del y
        for name, value in x.items():
            if name not in self._scorers:
                self._scorers[name] = GaussianScorer(  # type: ignore[no-untyped-call]
                    grace_period=LEAST_EXAMPLES
                )
            self._scorers[name].learn_one(None, value)  # type: ignore[no-untyped-call]


class AnomalyLogic:
    """Scores the events of one market, each against those before it. No clock, no I/O."""

    def __init__(self, market: Market, bounds: Bounds | None = None) -> None:
        self.market = market
        self._bells, self._trees = Bells(), Trees()
        models = {
            "bells": self._new_bells,
            "trees": self._new_trees,
        }
        self._task = Task(models, bounds or Bounds(examples=2_000, waiting=1))
        self._means: dict[str, float] = {}
        self._addresses: OrderedDict[str, None] = OrderedDict()
        self._last_us: int | None = None
        self._last_price: float | None = None

    def on_event(self, event: Event) -> Anomaly | None:
        """Return how strange ``event`` is, and learn it; ``None`` if it has no usable size."""
        if not (math.isfinite(event.size) and event.size > 0):
            return None
        features = self._features(event)
        features["combination"] = self._trees.score_one(features)
        scores = self._bells.score_each(features)
        self._task.learn(features)
        striking = [name for name in scores if scores[name] >= STRIKING]
        striking.sort(key=lambda name: -scores[name])
        return Anomaly(
            market=self.market,
            key=event.key,
            time_us=event.time_us,
            score=max(scores.values(), default=0.0),
            is_alarm=bool(striking),
            reasons=[REASONS[name] for name in striking],
            scores=scores,
        )

    def state(self) -> AnomalyState:
        """Return all that has to be written down."""
        return AnomalyState(
            task=self._task.state(),
            means=dict(self._means),
            addresses=list(self._addresses),
            last_us=self._last_us,
            last_price=self._last_price,
        )

    def restore(self, state: AnomalyState) -> None:
        """Go on from ``state``."""
        self._task.restore(state.task)
        self._means = dict(state.means)
        self._addresses = OrderedDict.fromkeys(state.addresses)
        self._last_us, self._last_price = state.last_us, state.last_price

    # ---------------------------------------------------------------- features

    def _features(self, event: Event) -> Features:
        size = math.log(event.size)
        large = max(0.0, size - self._mean("size", size, _SLOW))
        return {
            "size": size,
            "pace": self._pace(event.time_us),
            "impact": self._impact(event.price),
            "newness": large if self._is_new(event.address) else 0.0,
        }

    def _pace(self, time_us: int) -> float:
        gap_us = max(0, time_us - self._last_us) if self._last_us is not None else 0
        self._last_us = max(time_us, self._last_us or time_us)
        gap = math.log1p(gap_us / 1e3)
        self._mean("pace", gap, _QUICK)
        return -self._means["pace"]

    def _impact(self, price: float | None) -> float:
        if price is None or not (math.isfinite(price) and price > 0):
            return 0.0
        last, self._last_price = self._last_price or price, price
        move = abs(math.log(price) - math.log(last))
        usual = self._mean("impact", move, _SLOW)
        return math.log1p(move / max(usual, 1e-9))

    def _is_new(self, address: str | None) -> bool:
        if address is None:
            return False
        is_new = address not in self._addresses
        self._addresses[address] = None
        self._addresses.move_to_end(address)
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        return is_new

    def _mean(self, name: str, value: float, speed: float) -> float:
        """Return the decayed mean before ``value``, which then counts."""
        before = self._means.setdefault(name, value)
        self._means[name] = before + speed * (value - before)
        return before

    # Made anew whenever the task forgets, and asked for each feature's score.

    def _new_bells(self) -> Model:
        self._bells = Bells()
        return self._bells

    def _new_trees(self) -> Model:
        self._trees = Trees()
        return self._trees


def _above(scorer: GaussianScorer, value: float) -> float:
    """Return how far above its mean a value is, from 0 to 1."""
    if value <= float(scorer.gaussian.mu):  # type: ignore[arg-type]
        return 0.0
    return float(scorer.score_one(None, value))  # type: ignore[no-untyped-call]


def _squeezed(x: Features) -> dict[str, float]:
    """Return features in ``[0, 1]``, without the trees' own score."""
    return {n: 0.5 + 0.5 * math.tanh(v / _SQUEEZE) for n, v in x.items() if n != "combination"}
