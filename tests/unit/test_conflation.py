"""What conflation leaves out, and what it never does."""

from candles import MARKET, batch, candle, gap
from hypothesis import given
from hypothesis import strategies as st

from chaintide.sinks.conflation import conflate
from chaintide.streams.records import CandleBatch

VERSIONS = st.tuples(st.integers(0, 2), st.integers(0, 2))
CANDLES = st.builds(
    lambda minute, close: candle(minute, close=str(close)), st.integers(0, 2), st.integers(0, 9)
)
GAPS = st.builds(lambda start, end: gap(start, to_us=end), st.integers(0, 2), st.integers(0, 9))
BATCHES = st.lists(
    st.builds(
        lambda version, candles, gaps: batch(
            *candles, generation=version[0], offset=version[1], market=MARKET, gaps=gaps
        ),
        VERSIONS,
        st.lists(CANDLES, max_size=3),
        st.lists(GAPS, max_size=2),
    ),
    max_size=6,
)


def one_by_one(batches: list[CandleBatch]) -> tuple[object, ...]:
    newest, candles, gaps = (-1, -1), {}, {}
    for each in batches:
        if (each.generation, each.offset) >= newest:
            newest = (each.generation, each.offset)
            candles |= {c.open_time_ms: c for c in each.candles}
            gaps |= {g.from_us: g for g in each.gaps}
    return newest, candles, gaps


@given(BATCHES)
def test_the_result_is_that_of_writing_one_by_one(batches: list[CandleBatch]):
    assert one_by_one(conflate(batches, {})) == one_by_one(batches)


@given(BATCHES, st.integers(0, 6))
def test_two_writes_are_as_good_as_one(batches: list[CandleBatch], cut: int):
    first = conflate(batches[:cut], {})
    newest = {each.market: (each.generation, each.offset) for each in first}
    assert one_by_one([*first, *conflate(batches[cut:], newest)]) == one_by_one(batches)


@given(BATCHES)
def test_nothing_is_written_twice(batches: list[CandleBatch]):
    for result in conflate(batches, {}):
        assert len({c.open_time_ms for c in result.candles}) == len(result.candles)
        assert len({g.from_us for g in result.gaps}) == len(result.gaps)


def test_an_equal_version_is_not_stale():
    assert conflate([batch(candle(), offset=4)], {MARKET: (1, 4)})
    assert not conflate([batch(candle(), offset=4)], {MARKET: (1, 5)})
