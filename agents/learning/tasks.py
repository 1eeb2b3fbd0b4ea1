"""River models for tasks of low rate: scores now, labels later, challengers beside.

A model is what its factory makes once it has learned the examples of a bounded log, in order.
So it can be written down without pickling it: the log is the state. When the log is full its
older half is forgotten, and the model made anew from the rest.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

Features = dict[str, float]
MAX_FEATURES: Final = 64
_FINITE: Final = 1e12


class Model(Protocol):
    """What a task needs of a model: to score an example, and to learn one."""

    def score_one(self, x: Features) -> float:
        """Return how much there is of what the task is about."""
        ...

    def learn_one(self, x: Features, y: float | None) -> None:
        """Learn an example; ``y`` is ``None`` where a task has no labels."""
        ...


class Detector(Protocol):
    """A model without labels, such as river's ``HalfSpaceTrees`` or a pipeline that ends in it."""

    def score_one(self, x: Features) -> float:
        """Return how odd an example is."""
        ...

    def learn_one(self, x: Features) -> None:
        """Learn an example."""
        ...


class Scorer(Protocol):
    """A model of one number, such as river's ``GaussianScorer``."""

    def score_one(self, x: None, y: float) -> float:
        """Return how odd ``y`` is."""
        ...

    def learn_one(self, x: None, y: float) -> None:
        """Learn ``y``."""
        ...


class Unlabelled:
    """A detector as a model of a task; labels only tell how good its scores were.

    Give a detector that draws lots a seed: it is made anew when its task is restored.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def score_one(self, x: Features) -> float:
        """Return how odd an example is."""
        return float(self._detector.score_one(x))

    def learn_one(self, x: Features, y: float | None) -> None:  # noqa: ARG002  as models do
        """Learn an example."""
        self._detector.learn_one(x)


class OneFeature:
    """A scorer of one feature as a model of a task; examples without it score 0, teach nothing."""

    def __init__(self, scorer: Scorer, feature: str) -> None:
        self._scorer = scorer
        self._feature = feature

    def score_one(self, x: Features) -> float:
        """Return how odd the feature is."""
        value = x.get(self._feature)
        return 0.0 if value is None else float(self._scorer.score_one(None, value))

    def learn_one(self, x: Features, y: float | None) -> None:  # noqa: ARG002  as models do
        """Learn the feature."""
        if (value := x.get(self._feature)) is not None:
            self._scorer.learn_one(None, value)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much a task remembers: examples learned, and examples that wait for labels."""

    examples: int = 2_000
    waiting: int = 10_000


class Example(msgspec.Struct, frozen=True, array_like=True):
    """Features and what came of them."""

    features: Features
    label: float | None


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """An example that was scored and waits for its label, with the scores given."""

    features: Features
    scores: dict[str, float]


class TaskState(msgspec.Struct, frozen=True):
    """All that a task knows."""

    champion: str
    log: list[Example]
    waiting: dict[str, Waiting]
    losses: dict[str, list[float]]
    void: int
    refused: int


class Task:
    """One champion that answers and challengers that answer in its shadow.

    ``models`` makes each of them; the first is the champion until ``promote``. Of every example
    that was asked about, the label may come later, or never: then the oldest are void.
    """

    def __init__(self, models: Mapping[str, Callable[[], Model]], bounds: Bounds) -> None:
        self.bounds = bounds
        self.champion = next(iter(models))
        self.void = 0
        self.refused = 0
        self._factories = dict(models)
        self._models = {name: make() for name, make in models.items()}
        self._log: list[Example] = []
        self._waiting: dict[str, Waiting] = {}
        self._losses: dict[str, list[float]] = {name: [0.0, 0.0] for name in models}

    # ------------------------------------------------------------------ events

    def ask(self, key: str, features: Mapping[str, float]) -> float:
        """Return the champion's score of an example whose label will come under ``key``."""
        clean = sanitised(features)
        scores = {name: _finite(model.score_one(clean)) for name, model in self._models.items()}
        self._waiting.pop(key, None)
        self._waiting[key] = Waiting(clean, scores)
        if len(self._waiting) > self.bounds.waiting:
            del self._waiting[next(iter(self._waiting))]
            self.void += 1
        return scores[self.champion]

    def answer(self, key: str, label: float) -> bool:
        """Learn what came of an example; return whether it was waiting.

        It counts for the scores that were given when it was asked about.
        """
        waiting = self._waiting.pop(key, None)
        if waiting is None or not math.isfinite(label):
            self.refused += 1
            return False
        for name, score in waiting.scores.items():
            if (sums := self._losses.get(name)) is None:
                continue  # a challenger that was removed since
            sums[0] += 1.0
            sums[1] += (score - label) ** 2
        self.learn(waiting.features, label)
        return True

    def learn(self, features: Mapping[str, float], label: float | None = None) -> None:
        """Let every model learn an example."""
        example = Example(sanitised(features), label)
        self._log.append(example)
        if len(self._log) > self.bounds.examples:
            self._log = self._log[len(self._log) // 2 :]
            self._rebuild()
            return
        for model in self._models.values():
            model.learn_one(dict(example.features), label)

    def score(self, features: Mapping[str, float]) -> float:
        """Return the champion's score of an example that nobody will label."""
        return _finite(self._models[self.champion].score_one(sanitised(features)))

    def promote(self, name: str) -> None:
        """Let ``name`` answer from now on."""
        if name in self._models:
            self.champion = name

    # ------------------------------------------------------------------- facts

    def losses(self) -> dict[str, float | None]:
        """Return the mean squared error of each model, ``None`` before the first label."""
        return {n: total / count if count else None for n, (count, total) in self._losses.items()}

    def state(self) -> TaskState:
        """Return all that has to be written down."""
        return TaskState(
            champion=self.champion,
            log=list(self._log),
            waiting=dict(self._waiting),
            losses={name: list(sums) for name, sums in self._losses.items()},
            void=self.void,
            refused=self.refused,
        )

    def restore(self, state: TaskState) -> None:
        """Go on from ``state``: learn its examples again, in their order."""
        self._log, self._waiting = list(state.log), dict(state.waiting)
        self.void, self.refused = state.void, state.refused
        self._losses |= {n: list(s) for n, s in state.losses.items() if n in self._models}
        self.promote(state.champion)
        self._rebuild()

    def _rebuild(self) -> None:
        self._models = {name: make() for name, make in self._factories.items()}
        for example in self._log:
            for model in self._models.values():
                model.learn_one(dict(example.features), example.label)


def sanitised(features: Mapping[str, float]) -> Features:
    """Return features without what is no number, in the order of their names.

    >>> sanitised({"b": float("nan"), "a": 1e300})
    {'a': 1000000000000.0}
    """
    finite = [(name, float(value)) for name, value in features.items() if math.isfinite(value)]
    bounded = [(name, min(max(value, -_FINITE), _FINITE)) for name, value in finite]
    return dict(sorted(bounded)[:MAX_FEATURES])


def _finite(score: float) -> float:
    return score if math.isfinite(score) else 0.0
