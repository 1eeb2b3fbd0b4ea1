"""River models behind delayed labels and bounds."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import anomaly, linear_model, preprocessing

from chaintide.agents.learning.tasks import Bounds, OneFeature, Task, Unlabelled, sanitised


class Logistic:
    """A river pipeline as a model of a task."""

    def __init__(self) -> None:
        self.pipeline = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def score_one(self, x):
        return self.pipeline.predict_proba_one(x).get(True, 0.5)

    def learn_one(self, x, y):
        self.pipeline.learn_one(x, bool(y))


class Constant:
    def score_one(self, x):  # noqa: ARG002
        return 0.5

    def learn_one(self, x, y):
        pass


def new_task(**bounds: int) -> Task:
    return Task({"constant": Constant, "logistic": Logistic}, Bounds(**bounds))


def teach(task: Task, number: int, *, seed: int = 1, delay: int = 5) -> None:
    rng, asked = random.Random(seed), []
    for place in range(number):
        x = rng.gauss(0, 1)
        asked.append((f"{seed}-{place}", float(rng.random() < 1 / (1 + math.exp(-2 * x)))))
        task.ask(asked[-1][0], {"x": x, "noise": rng.gauss(0, 1)})
        if len(asked) > delay:
            assert task.answer(*asked.pop(0))


def test_a_challenger_is_scored_in_the_shadow_until_it_is_promoted():
    task = new_task()
    teach(task, 600)
    losses = task.losses()
    assert losses["constant"] == pytest.approx(0.25)
    assert losses["logistic"] < 0.2
    assert task.score({"x": 3.0}) == 0.5
    task.promote("logistic")
    assert task.score({"x": 3.0}) > 0.8


def test_one_nan_does_not_poison_a_model():
    clean, dirty = new_task(), new_task()
    for task in (clean, dirty):
        task.promote("logistic")
    for place, task in enumerate((clean, dirty)):
        teach(task, 100)
        if place:
            task.ask("bad", {"x": math.nan, "noise": math.inf})
            assert not task.answer("bad", math.nan)
        teach(task, 100, seed=2)
    assert dirty.score({"x": 1.0}) == clean.score({"x": 1.0})
    assert dirty.refused == 1


def test_a_label_that_nobody_waits_for_is_refused():
    task = new_task()
    assert not task.answer("unknown", 1.0)
    task.ask("known", {"x": 1.0})
    assert task.answer("known", 1.0)
    assert not task.answer("known", 1.0)
    assert task.refused == 2


def test_what_waits_and_what_is_remembered_is_bounded():
    task = new_task(examples=50, waiting=10)
    for number in range(25):
        task.ask(str(number), {"x": 1.0})
    assert task.void == 15
    assert not task.answer("0", 1.0)
    teach(task, 500)
    state = task.state()
    assert len(state.log) <= 50
    assert len(state.waiting) <= 10


@given(st.integers(0, 130), st.integers(1, 40))
def test_a_task_that_is_written_down_and_read_goes_on_bit_by_bit(before, after):
    task, read = new_task(examples=40), new_task(examples=40)
    task.promote("logistic")
    teach(task, before)
    read.restore(task.state())
    for one in (task, read):
        teach(one, after, seed=2)
    assert read.state() == task.state()
    assert read.score({"x": 0.3, "noise": 0.1}) == task.score({"x": 0.3, "noise": 0.1})


@given(st.dictionaries(st.text(max_size=3), st.floats(), max_size=80))
def test_features_are_finite_bounded_and_in_order(features):
    clean = sanitised(features)
    assert all(math.isfinite(value) for value in clean.values())
    assert list(clean) == sorted(clean)
    assert len(clean) <= 64


DETECTORS = {
    "trees": lambda: Unlabelled(
        preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=5, window_size=50, seed=1)
    ),
    "bare trees": lambda: Unlabelled(anomaly.HalfSpaceTrees(n_trees=5, window_size=50, seed=1)),
    "gaussian": lambda: OneFeature(anomaly.GaussianScorer(grace_period=20), "x"),
}


@pytest.mark.parametrize("champion", DETECTORS)
def test_detectors_of_river_find_what_is_odd_without_labels_and_go_on_after_a_restart(champion):
    task, read = (Task(DETECTORS, Bounds()) for _ in range(2))
    task.promote(champion)
    rng = random.Random(1)
    for _ in range(300):
        task.learn({"x": rng.gauss(0.5, 0.05), "other": rng.random()})
    usual, odd = {"x": 0.5, "other": 0.5}, {"x": 0.95, "other": 0.5}
    assert task.score(odd) > task.score(usual)
    read.restore(task.state())
    assert read.score(odd) == task.score(odd)
    task.ask("labelled", odd)
    assert task.answer("labelled", 1.0)
    assert set(task.losses()) == set(DETECTORS)
    assert None not in task.losses().values()


def test_a_scorer_of_one_feature_does_without_it():
    task = Task({"gaussian": DETECTORS["gaussian"]}, Bounds())
    for number in range(40):
        task.learn({"x": float(number % 5)})
        task.learn({"other": 1e6})
    assert task.score({"other": 1e6}) == 0.0
    assert task.score({"x": 100.0}) > 0.99


def test_a_challenger_that_was_removed_is_not_missed():
    task = new_task()
    task.ask("known", {"x": 1.0})
    task.promote("logistic")
    read = Task({"constant": Constant}, Bounds())
    read.restore(task.state())
    assert read.champion == "constant"
    assert read.answer("known", 1.0)
    assert read.losses() == {"constant": 0.25}
