"""Back-off, breaker, budget and liveness: the small parts that wait."""

from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.feeds.backoff import Backoff
from chaintide.streams.feeds.breaker import Breaker
from chaintide.streams.feeds.budget import Budget
from chaintide.streams.feeds.liveness import Liveness


@given(st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_zero_nor_over_the_cap(failures, draw):
    backoff = Backoff(failures=failures)
    assert 0.25 <= backoff.next_s(lambda: draw) <= 30.0


def test_success_makes_waits_short_again():
    backoff = Backoff(failures=9)
    backoff.reset()
    assert backoff.next_s(lambda: 0.0) == 0.25


def test_a_successful_probe_closes_and_a_failed_one_reopens():
    breaker = Breaker()
    for _ in range(5):
        breaker.on_failure(now_ms=0)
    assert breaker.state(now_ms=30_000) == "half-open"
    assert breaker.allows(now_ms=30_000)
    breaker.on_failure(now_ms=31_000)
    assert breaker.state(now_ms=60_999) == "open"
    assert breaker.allows(now_ms=61_000)
    breaker.on_success()
    assert breaker.state(now_ms=61_000) == "closed"


def test_a_success_forgets_earlier_failures():
    breaker = Breaker()
    for _ in range(4):
        breaker.on_failure(now_ms=0)
    breaker.on_success()
    breaker.on_failure(now_ms=0)
    assert breaker.allows(now_ms=0)


@given(st.integers(1, 6000), st.lists(st.integers(0, 10_000), max_size=200))
def test_no_minute_has_more_calls_than_the_budget_and_a_burst(per_minute, pauses):
    budget, now_ms, calls = Budget(per_minute), 0, []
    for pause in pauses:
        now_ms += pause
        now_ms += budget.spend(now_ms=now_ms)
        calls.append(now_ms)
    for first in calls:
        assert sum(first <= call < first + 60_000 for call in calls) <= per_minute + 5


@given(st.lists(st.integers(0, 7_999)))
def test_signs_of_life_within_eight_seconds_never_alarm(pauses):
    liveness, now_ms = Liveness(seen_ms=0), 0
    for pause in pauses:
        now_ms += pause
        assert not liveness.is_silent(now_ms=now_ms)
        liveness.on_sign(now_ms=now_ms)
    assert liveness.is_silent(now_ms=now_ms + 8_000)
