"""River models behind delayed labels and bounds, and anomalies with their reasons."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, preprocessing

from chaintide.agents.learning.anomalies import AnomalyLogic, Event
from chaintide.agents.learning.tasks import Bounds, Task, sanitised
from chaintide.streams.records import Market

MARKET = Market("kraken:BTC-USD")


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


# ------------------------------------------------------------------- anomalies


def event(number: int = 0, **changes) -> Event:
    fields = {"market": MARKET, "key": str(number), "time_us": number * 1_000_000}
    return Event(**(fields | {"size": 1.0, "price": 100.0, "address": "0x1"} | changes))


def usual(number: int = 3_000, seed: int = 1) -> tuple[AnomalyLogic, list[Event]]:
    rng, logic, price, time_us, seen = random.Random(seed), AnomalyLogic(MARKET), 100.0, 0, []
    for place in range(number):
        time_us += int(rng.expovariate(1) * 1e6)
        price *= math.exp(rng.gauss(0, 1e-4))
        seen.append(event(place, time_us=time_us, size=rng.lognormvariate(0, 1), price=price,
                          address=f"0x{rng.randrange(200)}"))  # fmt: skip
        assert logic.on_event(seen[-1]) is not None
    return logic, seen


STRANGE = {
    "unusually large": {"size": 900.0},
    "moved the price unusually far": {"price": 130.0},
    "large, and from an address not seen before": {"size": 40.0, "address": "0xnew"},
}


@pytest.mark.parametrize("reason", STRANGE)
def test_what_is_strange_is_said_with_its_reason(reason: str):
    logic, seen = usual()
    last = seen[-1]
    plain = {"time_us": last.time_us + 1_000_000, "price": last.price}
    found = logic.on_event(event(9_999, **(plain | STRANGE[reason])))
    assert found.is_alarm
    assert reason in found.reasons
    assert found.score > 0.99999


def test_many_events_at_once_are_strange():
    logic, seen = usual()
    last = seen[-1]
    burst = [event(place, time_us=last.time_us + place, price=last.price) for place in range(60)]
    found = [logic.on_event(one) for one in burst]
    assert "unusually many in a short time" in {r for one in found for r in one.reasons}


def test_usual_events_are_seldom_called_strange():
    logic = AnomalyLogic(MARKET)
    found = [logic.on_event(one) for one in usual(6_000, seed=2)[1]]
    assert sum(one.is_alarm for one in found) <= 30


def test_the_first_events_are_not_strange():
    logic = AnomalyLogic(MARKET)
    assert not any(logic.on_event(event(n, size=10.0 ** (n % 7))).is_alarm for n in range(90))


def test_an_event_without_a_size_is_left_out():
    logic = AnomalyLogic(MARKET)
    assert logic.on_event(event(size=math.nan)) is None
    assert logic.on_event(event(size=0.0)) is None


def test_anomalies_go_on_bit_by_bit_after_a_restart():
    logic, seen = usual(2_500)
    read = AnomalyLogic(MARKET)
    read.restore(logic.state())
    for one in usual(200, seed=3)[1]:
        later = event(0, time_us=one.time_us + seen[-1].time_us, size=one.size, price=one.price)
        assert read.on_event(later) == logic.on_event(later)
    assert read.state() == logic.state()


@given(st.lists(st.tuples(st.floats(), st.floats(), st.integers(-(2**60), 2**60)), max_size=30))
def test_whatever_event_comes_its_score_is_between_0_and_1(rows):
    logic = AnomalyLogic(MARKET)
    for size, price, time_us in rows:
        found = logic.on_event(event(size=size, price=price, time_us=time_us))
        assert found is None or 0.0 <= found.score <= 1.0
