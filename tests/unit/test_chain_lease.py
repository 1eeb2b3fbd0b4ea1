"""Whoever stands by takes a chain when its owner says so, or is silent; and never before."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.lease import LOOK_MS, SILENCE_MS, Lease
from chaintide.streams.chain.records import Alive, BlockMessage, Owner, Released, Synced
from chaintide.streams.records import Undo

SIGNS: list[BlockMessage] = [
    Alive(chain="local", epoch=2),
    Synced(chain="local", address="0xaa", first=0, last=4, epoch=2),
    Undo(chain="local", to_number=6, epoch=2),
    Owner(chain="local", epoch=3, writer="c"),
]


def owner(epoch: int, writer: str = "a") -> Owner:
    return Owner(chain="local", epoch=epoch, writer=writer)


def seen(*records: BlockMessage, now_ms: int = 0) -> Lease:
    lease = Lease("me")
    lease.on_look(records, now_ms=now_ms)
    return lease


def pass_time(lease: Lease, from_ms: int, passed_ms: int) -> None:
    """Look every half second, and find nothing."""
    for now_ms in range(from_ms, from_ms + passed_ms + 1, 500):
        lease.on_look([], now_ms=now_ms)


@pytest.mark.parametrize("sign", SIGNS)
def test_the_lease_ends_a_minute_after_the_last_sign_of_the_owner(sign):
    lease = seen(owner(1), owner(2))
    pass_time(lease, 0, SILENCE_MS - 500)
    assert not lease.is_over
    lease.on_look([sign], now_ms=SILENCE_MS)
    pass_time(lease, SILENCE_MS, SILENCE_MS - 500)
    assert not lease.is_over
    pass_time(lease, 2 * SILENCE_MS, 0)
    assert lease.is_over


def test_an_owner_that_was_replaced_gives_no_sign():
    lease = seen(owner(1), owner(2, "b"))
    pass_time(lease, 0, SILENCE_MS - 500)
    lease.on_look([Alive(chain="local", epoch=1)], now_ms=SILENCE_MS)
    assert lease.is_over


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_release_is_that_of_the_owner_and_ends_with_the_next(epoch):
    lease = seen(owner(1), owner(2), Released(chain="local", epoch=epoch))
    assert lease.is_over == (epoch == 2)
    lease.on_look([owner(3, "b")], now_ms=1)
    assert not lease.is_over


def test_an_owner_whose_claim_is_gone_from_the_log_gives_signs_all_the_same():
    lease = seen(owner(1, "me"), Alive(chain="local", epoch=2))
    for now_ms in range(0, 2 * SILENCE_MS, LOOK_MS):
        lease.on_look([Alive(chain="local", epoch=2)], now_ms=now_ms)
        assert not lease.is_over
    lease.on_look([Released(chain="local", epoch=2)], now_ms=2 * SILENCE_MS)
    assert lease.is_over


def test_whoever_saw_the_chain_free_may_claim_the_epoch_after_the_highest():
    assert seen(owner(1), owner(4, "b"), Alive(chain="local", epoch=1)).next_epoch == 5


def test_a_summary_tells_who_has_the_chain():
    log = BlockLog()
    log.on_record(owner(2, "me"))
    summary = log.summary("local", {}, now_ms=0)
    assert seen(summary).is_over
    assert not seen(owner(1, "me"), msgspec.structs.replace(summary, writer="other")).is_over


def test_nobody_waits_for_itself():
    assert seen(owner(1), owner(2, "me")).is_over
    assert not seen(owner(1, "me"), owner(2)).is_over


def test_a_chain_that_nobody_owns_is_taken_after_the_same_silence():
    lease = seen()
    assert not lease.is_over
    pass_time(lease, 0, SILENCE_MS)
    assert lease.is_over


@pytest.mark.parametrize("jump_ms", [10 * SILENCE_MS, -10 * SILENCE_MS])
def test_a_clock_that_jumps_or_an_onlooker_that_slept_sees_no_silence(jump_ms):
    lease = seen(owner(1))
    lease.on_look([], now_ms=jump_ms)
    assert not lease.is_over
    pass_time(lease, jump_ms, SILENCE_MS - LOOK_MS - 500)
    assert not lease.is_over
    pass_time(lease, jump_ms + SILENCE_MS, LOOK_MS)
    assert lease.is_over


@given(st.lists(st.integers(0, LOOK_MS), max_size=40), st.integers(-(10**13), 10**13))
def test_only_time_that_the_onlooker_saw_pass_counts_whatever_its_clock_says(steps, begin_ms):
    lease, now_ms = seen(owner(1), now_ms=begin_ms), begin_ms
    for step in steps:
        now_ms += step
        lease.on_look([], now_ms=now_ms)
    assert lease.is_over == (sum(steps) >= SILENCE_MS)
