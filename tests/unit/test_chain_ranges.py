"""Ranges shrink when a node says so, in whatever words, and their results keep their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.chain.ranges import LARGEST, Range, Ranges, is_too_large

TOO_LARGE = [
    "query returned more than 10000 results",
    "query returned more than 10000 results. Try with this block range [0x1, 0x2].",
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
    "Your app has exceeded; this block range should work: [0x0, 0x7cf]",
    "eth_getLogs is limited to a 10,000 range",
    "eth_getLogs is limited to 0 - 10000 blocks range",
    "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range",
    "block range is too wide",
    "Block range too large",
    "block range is too large, max is 1k blocks",
    "Max range: 800",
    "exceed maximum block range: 50000",
    "maximum block range: 2000",
    "query exceeds max block range 1000",
    "query exceeds max results 20000, retry with the range 1-2",
    "exceeds the range allowed for your plan (50000 > 3000)",
    "Block range limit exceeded. See more details at https://docs",
    "please limit the query to at most 1000 blocks",
    "logs matched by query exceeds limit of 10000",
    "requested too many blocks from 0 to 16777215, maximum is set to 2048",
    "too wide blocks range, the limit is 100",
    "Too many logs requested. Max logs per response is 20000.",
    "ranges over 10000 blocks are not supported on the free tier",
    "block range greater than 20000 max",
    "query must be smaller than size 1024",
    "backend response too large",
    "query timeout exceeded",
]
OTHERWISE = [
    "execution reverted",
    "rate limit exceeded",
    "Too Many Requests",
    "daily request limit reached - upgrade your account",
    "Your app has exceeded its compute units per second capacity",
    "header not found",
    "unknown block",
    "invalid argument 0: hex string without 0x prefix",
    "the method eth_getLogs does not exist/is not available",
    "unauthorized",
]


@pytest.mark.parametrize("message", TOO_LARGE)
def test_every_known_wording_of_too_much_is_understood(message):
    assert is_too_large(message)


@pytest.mark.parametrize("message", OTHERWISE)
def test_other_errors_do_not_shrink_ranges(message):
    assert not is_too_large(message)


def test_results_come_out_in_order():
    ranges: Ranges[str] = Ranges(1, 10, size=4, parallel=3)
    a, b, c = ranges.take(), ranges.take(), ranges.take()
    assert (a, b, c) == (Range(1, 4), Range(5, 8), Range(9, 10))
    assert ranges.take() is None
    assert ranges.on_result(c, "c") == []
    assert ranges.on_result(a, "a") == [(a, "a")]
    assert ranges.on_result(b, "b") == [(b, "b"), (c, "c")]
    assert ranges.is_done


def test_a_range_that_is_too_large_is_halved_and_grows_back():
    ranges: Ranges[None] = Ranges(0, 100_000, size=1_000, parallel=1)
    assert ranges.on_too_large(ranges.take())
    assert ranges.size == 500
    sizes = []
    for _ in range(12):
        taken = ranges.take()
        sizes.append(len(taken))
        ranges.on_result(taken, None)
    assert sizes == [500, 500, 500, 500, 1000, 1000, 1000, 1000, 2000, 2000, 2000, 2000]


def test_one_block_that_is_too_large_cannot_be_halved():
    ranges: Ranges[None] = Ranges(5, 5)
    assert not ranges.on_too_large(ranges.take())
    assert ranges.take() == Range(5, 5), "it is asked for again"


@given(
    st.integers(0, 50),
    st.integers(1, 400),
    st.integers(1, 64),
    st.integers(1, 5),
    st.lists(st.sampled_from(["good", "good", "large"]), max_size=60),
    st.randoms(use_true_random=False),
)
def test_every_block_comes_out_once_and_in_order(first, count, size, parallel, fates, random):  # noqa: PLR0917
    ranges: Ranges[list[int]] = Ranges(first, first + count - 1, size=size, parallel=parallel)
    out, got = [], []
    while not ranges.is_done:
        while (taken := ranges.take()) is not None:
            out.append(taken)
            assert len(taken) <= LARGEST
        assert len(out) <= parallel
        asked = out.pop(random.randrange(len(out)))
        match fates.pop() if fates else "good":
            case "large":
                ranges.on_too_large(asked)
            case _:
                for _, blocks in ranges.on_result(asked, [*range(asked.first, asked.last + 1)]):
                    got += blocks
    assert got == [*range(first, first + count)]
