"""Of each contract is known what is written; what is missing is found, whatever the order."""

import pytest
from chains import AMM, CHAIN, FACTORY, KINDS, RULES, new_pools, new_watch
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.coverage import Coverage
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import BlockEnd, Owner, Synced
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.watch import Named, Watch
from chaintide.streams.records import Final, Undo

BLOCKS = st.integers(0, 30)
SPANS = st.lists(st.tuples(BLOCKS, BLOCKS).map(sorted))


@given(SPANS, BLOCKS, st.tuples(BLOCKS, BLOCKS).map(sorted))
def test_missing_is_what_nobody_has_written(spans, start, wanted):
    coverage = Coverage({"a": start})
    for first, last in spans:
        coverage.add("a", first, last)
    written = {n for first, last in spans for n in range(first, last + 1)}
    expected = {n for n in range(wanted[0], wanted[1] + 1) if n < start} - written
    missing = coverage.missing("a", *wanted)
    assert [n for hole in missing for n in range(hole.first, hole.last + 1)] == sorted(expected)


def log_of(*records):
    log = BlockLog()
    for record in records:
        log.on_record(record)
    return log


def block(number):
    return BlockEnd(
        chain=CHAIN,
        number=number,
        block_hash=f"{number}",
        parent_hash=f"{number - 1}",
        time_ms=number,
        logs=0,
        epoch=1,
    )


def undo(to_number, epoch=1):
    return Undo(chain=CHAIN, to_number=to_number, epoch=epoch)


def final(number):
    return Final(chain=CHAIN, number=number, block_hash=f"{number}", time_ms=0, epoch=1)


def owner(epoch, **contracts):
    named = {AMM: contracts["amm"]} if "amm" in contracts else {}
    return Owner(chain=CHAIN, epoch=epoch, writer=f"{epoch}", contracts=named)


FOLLOWED = (owner(1, amm=0), undo(-1), *(block(n) for n in range(9)), final(5))


def advance(log, takeover):
    """Claim the chain and undo; return what was claimed and to which block it went back."""
    [[claim]] = takeover.advance(log)
    log.on_record(claim.record)
    [[back], _] = takeover.advance(log)
    log.on_record(back.record)
    assert takeover.advance(log) is None
    return claim.record.contracts, back.record.to_number


def takeover_of(watch):
    return Takeover(RULES, Publishing(watch, new_pools(), 3), "new")


def test_with_a_new_contract_everything_that_is_not_final_is_read_again():
    log = log_of(*FOLLOWED)
    contracts, to_number = advance(log, takeover_of(new_watch()))
    assert contracts == {AMM: 0, FACTORY: 6}
    assert to_number == 5
    assert [(hole.first, hole.last) for hole in log.coverage.missing(FACTORY, 0, 5)] == [(0, 5)]


def test_without_one_only_what_is_not_finished_is():
    only = Watch(CHAIN, KINDS, {AMM: Named("amm")})
    assert advance(log_of(*FOLLOWED), takeover_of(only)) == ({AMM: 0}, 8)


def test_a_follower_that_dies_between_claim_and_undo_has_covered_nothing():
    log = log_of(*FOLLOWED, owner(2, amm=99))
    assert log.coverage.starts == {AMM: 0}
    log.on_record(undo(8, epoch=2))
    assert log.coverage.starts == {AMM: 99}


def test_on_a_new_chain_contracts_are_covered_from_their_start():
    watch = Watch(CHAIN, KINDS, {AMM: Named("amm", 7), FACTORY: Named("factory")})
    contracts, to_number = advance(BlockLog(), takeover_of(watch))
    assert contracts == {AMM: 7, FACTORY: 0}
    assert to_number == -1


def test_history_that_is_written_is_not_missing_any_more():
    synced = Synced(chain=CHAIN, address=FACTORY, first=0, last=3, epoch=1)
    log = log_of(*FOLLOWED, synced)
    advance(log, takeover_of(new_watch()))
    assert [(hole.first, hole.last) for hole in log.coverage.missing(FACTORY, 0, 5)] == [(4, 5)]


def holes(coverage, first, last):
    found = coverage.unwritten(FACTORY, Range(first, last))
    return [(hole.blocks.first, hole.blocks.last, hole.since) for hole in found]


def family(epoch, start, since):
    return Owner(
        chain=CHAIN, epoch=epoch, writer="x", contracts={FACTORY: start}, families={FACTORY: since}
    )


def test_what_was_written_while_a_family_began_later_is_written_in_part():
    coverage = Coverage()
    coverage.claim(family(1, 20, 20), -1)
    assert coverage.changed({FACTORY: 20}) == set()
    assert coverage.changed({FACTORY: 10}) == coverage.changed({FACTORY: 30}) == {FACTORY}
    assert coverage.after({FACTORY: 10}, {FACTORY: 10}, 31) == {FACTORY: 31}
    coverage.claim(family(2, 31, 10), 30)
    assert holes(coverage, 10, 30) == [(10, 19, None), (20, 30, 20)]
    coverage.add(FACTORY, 10, 24)
    assert holes(coverage, 10, 30) == [(25, 30, 20)]
    coverage.claim(family(3, 41, 0), 40)
    assert holes(coverage, 0, 40) == [(0, 9, None), (10, 24, 10), (25, 30, 20), (31, 40, 10)]
    coverage.add(FACTORY, 0, 40)
    assert holes(coverage, 0, 40) == []


def test_a_family_that_begins_later_again_lacks_nothing_that_was_written():
    coverage = Coverage()
    coverage.claim(family(1, 0, 0), -1)
    coverage.claim(family(2, 31, 20), 30)
    assert holes(coverage, 20, 30) == []
    coverage.claim(family(3, 41, 0), 40)
    assert holes(coverage, 0, 40) == [(31, 40, 20)]


@pytest.mark.parametrize(("synced", "since"), [((), 20), (((5, 19),), 5)])
def test_of_a_log_that_does_not_say_it_a_family_begins_with_the_first_block_written(synced, since):
    coverage = Coverage({FACTORY: 20})
    for first, last in synced:
        coverage.add(FACTORY, first, last)
    assert coverage.changed({FACTORY: since}) == set()
    assert coverage.changed({FACTORY: 0}) == {FACTORY}
    coverage.claim(family(2, 31, 0), 30)
    assert holes(coverage, 0, 30) == [(0, since - 1, None), (since, 30, since)]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.lists(BLOCKS, max_size=2))),
)
def test_holes_are_what_no_owner_with_as_early_a_family_has_written(claims):
    """Claim after claim, each with blocks that the chain went on by, and spans filled up to F."""
    coverage, final, now = Coverage(), -1, {}
    for epoch, (since, gone, filled) in enumerate(claims, 1):
        same = coverage.starts and not coverage.changed({FACTORY: since})
        following = final + 1
        start = coverage.after({FACTORY: since}, {FACTORY: since}, following)[FACTORY]
        assert not same or start == coverage.starts[FACTORY]
        coverage.claim(family(epoch, start, since), final)
        for number in filled:
            if number <= final and number < start:
                coverage.add(FACTORY, number, number)
                now[number] = min(since, now.get(number, since))
        for number in range(following, following + gone):
            if number >= start:
                now[number] = min(since, now.get(number, since))
        final += gone
        told = {
            n: hole.since
            for hole in coverage.unwritten(FACTORY, Range(0, final))
            for n in range(hole.blocks.first, hole.blocks.last + 1)
        }
        expected = {n: now.get(n) for n in range(min(final + 1, start)) if now.get(n, 99) > since}
        assert told == expected
