"""A block log tells who follows a chain and where to go on; a takeover repairs the rest."""

from typing import Any

import pytest
from chains import AMM, CHAIN, FACTORY, RULES, new_pools, new_watch

from chaintide.streams.chain.blocklog import SUMMARY_MS, BlockLog
from chaintide.streams.chain.publishing import Plan, Publishing
from chaintide.streams.chain.records import Alive, BlockEnd, Owner, Summary
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.watch import Named, Watch
from chaintide.streams.errors import FatalError, ReplacedError
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Final, Undo
from chaintide.streams.topics import BLOCKS, TRADES
from chaintide.streams.topics import CHAIN as CHAIN_TOPIC


def end(number: int, *, epoch: int = 1, fork: str = "", parent: str = "", **more: Any) -> BlockEnd:
    return BlockEnd(
        chain=CHAIN,
        number=number,
        block_hash=f"{number}{fork}",
        parent_hash=f"{number - 1}{parent}",
        time_ms=number * 1000,
        logs=0,
        epoch=epoch,
        **more,
    )


def owner(epoch: int, writer: str = "a") -> Owner:
    makes = {address: new_watch().family(address, 0) for address in (AMM, FACTORY)}
    contracts = dict.fromkeys(makes, 0)
    return Owner(chain=CHAIN, epoch=epoch, writer=writer, contracts=contracts, makes=makes)


def undo(to_number: int, epoch: int = 1) -> Undo:
    return Undo(chain=CHAIN, to_number=to_number, epoch=epoch)


def final(number: int, epoch: int = 1) -> Final:
    return Final(chain=CHAIN, number=number, block_hash=str(number), time_ms=0, epoch=epoch)


BEGUN = (owner(1), undo(-1))


def log_of(*records: Any) -> BlockLog:
    log = BlockLog()
    for record in records:
        log.on_record(record)
    return log


def hashes(log: BlockLog) -> list[str]:
    return [seen.hash for seen in log.window]


def test_the_window_is_what_was_finished_and_not_undone():
    log = log_of(*BEGUN, end(1), end(2), end(3), undo(1), end(2, fork="b"))
    assert hashes(log) == ["1", "2b"]
    log.on_record(final(2))
    assert (hashes(log), log.window.final) == (["2b"], 2)


def test_what_a_replaced_follower_writes_does_not_count():
    log = log_of(*BEGUN, end(1), owner(2, "b"), end(2, fork="z"), end(2, epoch=2), final(2))
    assert hashes(log) == ["1", "2"]
    assert log.window.final == -1


def test_a_range_of_final_blocks_begins_the_window_anew():
    log = log_of(*BEGUN, end(1), final(1), end(500), end(501))
    assert hashes(log) == ["500", "501"]
    assert log.window.final == 500


def test_ends_that_are_told_again_change_nothing():
    log = log_of(*BEGUN, end(1), end(2), final(2), end(1), end(2), final(1), final(7))
    assert (hashes(log), log.window.final) == (["2"], 2)
    log.on_record(undo(0))
    assert hashes(log) == ["2"], "what is final is not undone"


def test_the_first_to_claim_an_epoch_has_it():
    log = log_of(owner(1, "a"), owner(1, "b"))
    assert log.is_owned_by(1, "a")
    assert not log.is_owned_by(1, "b")


def take_over(
    log: BlockLog,
    writer: str = "new",
    between: dict[int, list[Any]] | None = None,
    claim: int | None = None,
):
    """Run a takeover to its end; ``between`` is what others write after plan n."""
    publishing = Publishing(new_watch(), new_pools(), 3)
    takeover = Takeover(RULES, publishing, writer, claim=claim)
    plans: list[Plan] = []
    while (plan := takeover.advance(log)) is not None:
        for record in (between or {}).get(-1 - len(plans), []):
            log.on_record(record)
        for outgoing in [outgoing for phase in plan for outgoing in phase]:
            if outgoing.topic is BLOCKS:
                log.on_record(outgoing.record)
        plans.append(plan)
        for record in (between or {}).get(len(plans), []):
            log.on_record(record)
    return takeover.follower(log), publishing, plans


def undos(plans: list[Plan]) -> list[int]:
    return [
        outgoing.record.to_number
        for plan in plans
        for outgoing in plan[0]
        if isinstance(outgoing.record, Undo)
    ]


def test_a_takeover_claims_then_undoes_what_is_above_the_last_end():
    log = log_of(*BEGUN, end(1), end(2))
    follower, publishing, plans = take_over(log)
    assert publishing.epoch == 2
    assert undos(plans) == [2]
    assert follower.window.last is not None
    assert follower.window.last.number == 2
    [intent], everywhere = plans[1]
    assert (intent.topic, intent.partition) == (BLOCKS, partition_of(CHAIN, 3))
    places = sorted((out.topic.name, out.partition) for out in everywhere)
    assert places == sorted((t.name, p) for t in (CHAIN_TOPIC, TRADES) for p in range(3))


def test_a_chain_that_was_never_followed_is_undone_from_its_start():
    _, publishing, plans = take_over(BlockLog())
    assert (publishing.epoch, undos(plans)) == (1, [-1])


def test_of_two_that_claim_the_same_epoch_the_second_claims_the_next():
    _, publishing, plans = take_over(BlockLog(), between={-1: [owner(1, "other")]})
    assert publishing.epoch == 2
    assert len(plans) == 3


def test_a_chain_that_was_seen_free_is_taken_in_the_epoch_after_that():
    assert take_over(log_of(*BEGUN, end(1)), claim=2)[1].epoch == 2


@pytest.mark.parametrize("moment", [-2, -1])
def test_a_chain_that_was_seen_free_is_left_to_whoever_was_faster(moment):
    """The other claims it before this one has read the log, or before its own claim is written."""
    log, others = log_of(*BEGUN, end(1)), [owner(2, "other")]
    if moment == -2:
        log.on_record(others.pop())
    with pytest.raises(ReplacedError, match="another follower"):
        take_over(log, between={-1: others}, claim=2)
    assert log.is_owned_by(2, "other")


def test_a_claim_that_comes_later_ends_the_takeover():
    with pytest.raises(FatalError, match="another follower"):
        take_over(log_of(*BEGUN, end(1)), between={2: [owner(9, "other")]})


def test_what_the_old_follower_undid_after_the_claim_is_repaired():
    log = log_of(*BEGUN, end(1), end(2), end(3), end(4))
    between = {1: [undo(2), end(3, fork="z")], 2: [undo(1)]}
    follower, _, plans = take_over(log, between=between)
    assert undos(plans) == [4, 1]
    assert follower.window.last is not None
    assert follower.window.last.number == 1


def test_what_a_replaced_owner_left_to_repair_is_repaired_by_the_next():
    """Where 3 died, 1 may have gone back before any partition knew of 2 or 3."""
    log = log_of(*BEGUN, *map(end, range(1, 6)), owner(2, "b"), undo(1), end(2, fork="z"))
    assert undos(take_over(log)[2]) == [5, 1]
    log = log_of(*BEGUN, *map(end, range(1, 6)), owner(2, "b"), undo(1), owner(3, "c"))
    assert undos(take_over(log)[2]) == [5, 1]


def test_a_summary_says_that_its_owner_has_repaired_what_others_left():
    log = log_of(*BEGUN, *map(end, range(1, 6)), owner(2, "b"), undo(1), undo(5, 2), undo(1, 2))
    assert log.stray is None
    log = log_of(*BEGUN, *map(end, range(1, 6)), owner(2, "b"), undo(1), undo(5, 2))
    assert log.stray == 1
    log.on_record(summed(log))
    log.on_record(undo(0))
    assert log.stray is None


def test_what_no_partition_heeded_is_not_repaired():
    """The first block of an owner says that its takeover was done: all partitions know it."""
    log = log_of(*BEGUN, end(1), end(2), owner(2, "b"), end(3, epoch=2), undo(1))
    assert undos(take_over(log)[2]) == [3]


def test_a_repair_never_goes_below_what_is_final():
    log = log_of(*BEGUN, end(1), end(2), end(3), final(2))
    _, _, plans = take_over(log, between={1: [undo(1)]})
    assert undos(plans) == [3, 2]


def test_contracts_made_in_the_window_are_watched_again():
    log = log_of(*BEGUN, end(1), end(2, children={"0x" + "77" * 20: "token"}))
    _, publishing, _ = take_over(log)
    assert publishing.watch.children == {"0x" + "77" * 20: Named("token", 2)}


def summed(log: BlockLog, watch: Watch | None = None) -> Summary:
    return log.summary(CHAIN, (watch or new_watch()).made_in(), now_ms=5)


def test_after_its_summary_a_log_says_what_the_whole_of_it_does():
    child = "0x" + "77" * 20
    ends = (end(1), end(2), end(3), end(4, children={child: "token"}), end(5))
    whole = log_of(owner(1), undo(0), *ends, final(2), owner(2, "b"), undo(5, 2))
    watch = new_watch()
    watch.add(child, "token", 4)
    summary, later = summed(whole, watch), [end(6, epoch=2), final(3, 2)]
    rest = log_of(summary, *later)
    for record in (summary, *later):
        whole.on_record(record)
    assert hashes(rest) == hashes(whole) == ["3", "4", "5", "6"]
    assert (rest.epoch, rest.writer, rest.window.final) == (2, "b", 3)
    assert (rest.coverage.starts, rest.coverage.families) == (
        whole.coverage.starts,
        whole.coverage.families,
    )
    assert rest.coverage.spans == whole.coverage.spans
    for log in (rest, whole):
        _, publishing, plans = take_over(log)
        assert (publishing.epoch, undos(plans)) == (3, [6])
        assert publishing.watch.children == {child: Named("token", 4)}


def test_a_summary_is_that_of_the_owner_whoever_claimed_the_epoch_too():
    rest = log_of(owner(2, "b"), summed(log_of(owner(2, "a"), undo(-1), end(0, epoch=2))))
    assert rest.is_owned_by(2, "a")
    rest.on_record(summed(log_of(owner(1, "old"))))
    assert rest.is_owned_by(2, "a")
    assert hashes(rest) == ["0"]


def test_an_epoch_is_taken_from_whatever_record_is_left():
    for record in (end(7, epoch=5), undo(7, 5), final(7, 5), Alive(chain=CHAIN, epoch=5)):
        log = log_of(record, end(8, epoch=4, fork="old"))
        assert log.next_epoch == 6
        assert not log.is_owned_by(5, "a")
        log.on_record(owner(5, "late"))
        assert not log.is_owned_by(5, "late")


def test_a_log_is_summed_up_each_week_many_times_before_kafka_deletes_it():
    log = log_of(owner(1), undo(-1))
    assert log.is_to_be_summed(now_ms=5)
    log.on_record(summed(log))
    assert not log.is_to_be_summed(now_ms=5 + SUMMARY_MS - 1)
    assert log.is_to_be_summed(now_ms=5 + SUMMARY_MS)
    assert log.is_to_be_summed(now_ms=5 - SUMMARY_MS), "of a clock that was wrong then or is now"
    assert BLOCKS.retention_days * 24 * 3_600_000 > 4 * SUMMARY_MS
