"""What comes together is handed over as one message, and committed as far as it was worked at."""

from collections import defaultdict

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from chaintide.agents.consumer import MAX_TOGETHER_BYTES, PromptConsumer, together

PLACE = TP("chaintide.trades.v1", 3)


def record(offset: int, size: int = 10) -> ConsumerRecord:
    value = b"x" * size if size else None
    return ConsumerRecord(*PLACE, offset, 1_000, 0, None, value, None, 0, size, ())


@pytest.mark.parametrize("sizes", [[], [0], [10] * 7, [MAX_TOGETHER_BYTES] * 3, [40_000] * 5])
def test_records_stay_in_order_and_none_is_lost(sizes: list[int]):
    records = [record(offset, size) for offset, size in enumerate(sizes)]
    found = list(together(records))
    assert [one for some in found for one in some] == records
    for some in found:
        assert sum(len(one.value or b"") for one in some[:-1]) < MAX_TOGETHER_BYTES


def test_small_records_come_as_one_and_large_ones_alone():
    assert [len(some) for some in together([record(n) for n in range(500)])] == [500]
    large = [record(n, MAX_TOGETHER_BYTES) for n in range(3)]
    assert [len(some) for some in together(large)] == [1, 1, 1]


async def test_gaps_between_messages_are_their_records_and_never_committed_ahead_of_them():
    consumer = object.__new__(PromptConsumer)
    consumer._acked = defaultdict(list)
    consumer._acked_index = defaultdict(set)
    await consumer._add_gap(PLACE, 10, 19)
    assert consumer._new_offset(PLACE) is None
    for last in (9, 19):  # two messages of ten records
        consumer._acked[PLACE].append(last)
        consumer._acked_index[PLACE].add(last)
    await consumer._add_gap(PLACE, 20, 29)
    assert consumer._new_offset(PLACE) == 20
    assert consumer._new_offset(PLACE) is None, "the third was not acknowledged"
