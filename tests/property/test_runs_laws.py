"""Runs behave as the set of integers they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from chaintide.agents.runs import Runs

BATCHES = st.lists(
    st.lists(st.integers(0, 30), min_size=1, max_size=8)
    | st.builds(lambda a, n: list(range(a, a + n)), st.integers(0, 30), st.integers(1, 6)),
    max_size=10,
)


@given(BATCHES, st.lists(st.integers(0, 30)))
def test_runs_are_a_set(batches: list[list[int]], gone: list[int]):
    runs, plain = Runs(), set[int]()
    for batch in batches:
        expected = [place for place, n in enumerate(batch) if n not in plain | set(batch[:place])]
        assert runs.add_new(batch) == expected
        plain |= set(batch)
    for number in gone:
        runs.discard(number)
        plain.discard(number)
    firsts, lasts = runs.edges[::2], runs.edges[1::2]
    held = [n for a, b in zip(firsts, lasts, strict=True) for n in range(a, b + 1)]
    assert held == sorted(plain)
    assert all(b + 1 < a for b, a in zip(lasts, firsts[1:], strict=False)), "runs touch"
