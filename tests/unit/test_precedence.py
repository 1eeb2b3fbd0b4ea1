"""Predictions go first when candles close, and never keep candles waiting for long."""

import pytest

from chaintide.api.precedence import LATELY_S, MOST_S, PERIOD_S, Precedence


def test_nothing_waits_where_nothing_is_urgent():
    assert Precedence().wait_s(now_s=0.0) == 0.0


def test_the_rest_waits_as_long_as_more_may_come():
    precedence = Precedence()
    precedence.on_urgent(now_s=10.0)
    assert precedence.wait_s(now_s=10.01) == pytest.approx(LATELY_S - 0.01)
    assert precedence.wait_s(now_s=10.0 + 2 * LATELY_S) == 0.0


def test_what_is_urgent_all_the_time_takes_a_fifth_of_it():
    precedence, step_s, seconds = Precedence(), 0.01, 20
    waited_s = 0.0
    for step in range(int(seconds / step_s)):
        precedence.on_urgent(now_s=step * step_s)
        waited_s += precedence.wait_s(now_s=step * step_s)
    assert waited_s == pytest.approx(seconds * MOST_S / PERIOD_S, rel=0.1)


def test_a_lone_prediction_takes_nothing_from_a_burst_that_follows():
    precedence = Precedence()
    precedence.on_urgent(now_s=5.0)
    precedence.on_urgent(now_s=5.5)
    assert precedence.wait_s(now_s=5.5) == pytest.approx(LATELY_S)
