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
    waited = 0
    for step in range(int(seconds / step_s)):
        precedence.on_urgent(now_s=step * step_s)
        waited += precedence.wait_s(now_s=step * step_s) > 0.0
    assert waited * step_s == pytest.approx(seconds * MOST_S / PERIOD_S, rel=0.1)
