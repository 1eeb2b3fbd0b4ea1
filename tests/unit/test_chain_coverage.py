"""Of each contract is known what is written; what is missing is found, whatever the order."""

import msgspec
from chains import AMM, CHAIN, FACTORY, KINDS, RULES, new_pools, new_watch
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.coverage import Coverage, Hole
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import BlockEnd, BlockMessage, Family, Owner, Summary, Synced
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


NONE, ONE, TWO = Family(), ("5e",), ("5e", "77")


def holes(coverage, first, last):
    found = coverage.unwritten(FACTORY, Range(first, last))
    return [(hole.blocks.first, hole.blocks.last, hole.family) for hole in found]


def family(epoch, start, made):
    return Owner(
        chain=CHAIN, epoch=epoch, writer="x", contracts={FACTORY: start}, makes={FACTORY: made}
    )


def claim(coverage, epoch, made, following):
    """Let a new owner go on with block ``following``, all before it being final."""
    start = coverage.after({FACTORY: made.since}, {FACTORY: made}, following)[FACTORY]
    coverage.claim(family(epoch, start, made), following - 1)
    return start


def test_what_was_written_while_a_family_began_later_is_written_in_part():
    coverage = Coverage()
    late, early = Family(20, ONE), Family(10, ONE)
    coverage.claim(family(1, 20, late), -1)
    assert coverage.changed({FACTORY: late}) == set()
    assert coverage.changed({FACTORY: early}) == {FACTORY}
    assert coverage.changed({FACTORY: Family(30, ONE)}) == {FACTORY}
    assert claim(coverage, 2, early, 31) == 31
    assert holes(coverage, 10, 30) == [(10, 19, None), (20, 30, late)]
    coverage.add(FACTORY, 10, 24)
    assert holes(coverage, 10, 30) == [(25, 30, late)]
    coverage.claim(family(3, 41, Family(0, ONE)), 40)
    assert holes(coverage, 0, 40) == [
        (0, 9, None),
        (10, 24, early),
        (25, 30, late),
        (31, 40, early),
    ]
    coverage.add(FACTORY, 0, 40)
    assert holes(coverage, 0, 40) == []


def test_a_family_that_begins_later_again_lacks_nothing_that_was_written():
    coverage = Coverage()
    coverage.claim(family(1, 0, Family(0, ONE)), -1)
    coverage.claim(family(2, 31, Family(20, ONE)), 30)
    assert holes(coverage, 20, 30) == []
    coverage.claim(family(3, 41, Family(0, ONE)), 40)
    assert holes(coverage, 0, 40) == [(31, 40, Family(20, ONE))]


def test_of_a_contract_that_becomes_a_factory_what_it_made_is_missing():
    coverage = Coverage()
    claim(coverage, 1, NONE, 0)
    assert coverage.changed({FACTORY: NONE}) == set()
    assert coverage.changed({FACTORY: Family(0, ONE)}) == {FACTORY}
    assert claim(coverage, 2, Family(0, ONE), 31) == 31
    assert holes(coverage, 0, 30) == [(0, 30, NONE)]


def test_of_a_factory_that_was_none_for_a_while_only_that_while_is_missing():
    coverage = Coverage()
    claim(coverage, 1, Family(0, ONE), 0)
    assert claim(coverage, 2, NONE, 31) == 31
    assert holes(coverage, 0, 30) == []
    assert claim(coverage, 3, Family(0, ONE), 41) == 41
    assert holes(coverage, 0, 40) == [(31, 40, NONE)]


def test_a_factory_that_makes_more_lacks_what_it_made_in_the_new_way_alone():
    coverage = Coverage()
    claim(coverage, 1, Family(0, ONE), 0)
    assert claim(coverage, 2, Family(0, TWO), 31) == 31
    assert holes(coverage, 0, 30) == [(0, 30, Family(0, ONE))]
    coverage.add(FACTORY, 0, 30)
    assert claim(coverage, 3, Family(0, ("77",)), 41) == 41
    assert holes(coverage, 0, 40) == []


def test_an_owner_of_an_older_log_has_written_nothing_that_was_made():
    """It is as the program before wrote it; the rest of what it says counts."""
    older = (
        b'{"type":"owner","chain":"local","epoch":1,"writer":"7b","contracts":{"%b":2},'
        b'"rebuilt":{},"families":{"%b":2},"v":1}'
    ) % (FACTORY.encode(), FACTORY.encode())
    log = log_of(msgspec.json.decode(older, type=BlockMessage), undo(-1), block(2))
    assert log.is_owned_by(1, "7b")
    assert log.coverage.starts == {FACTORY: 2}
    assert log.coverage.changed({FACTORY: NONE}) == set()
    assert claim(log.coverage, 2, Family(2, ONE), 31) == 31
    assert holes(log.coverage, 0, 30) == [(0, 1, None), (2, 30, NONE)]


FAMILIES = st.sampled_from([(), ("5e",), ("77",), TWO]).flatmap(
    lambda ways: st.builds(Family, st.integers(0, 3), st.just(ways)) if ways else st.just(NONE)
)


def has_all(made, wanted):
    """Return whether ``made`` finds whatever ``wanted`` does."""
    return all(way in made.factories and made.since <= wanted.since for way in wanted.factories)


@given(
    st.lists(
        st.tuples(FAMILIES, st.integers(0, 3), st.lists(BLOCKS, max_size=2), st.booleans()),
        max_size=8,
    )
)
def test_holes_are_what_no_owner_with_as_much_of_a_family_has_written(claims):
    """Claim after claim, each with blocks that the chain went on by, and spans filled up to F."""
    coverage, final = Coverage(), -1
    now: dict[int, set[Family]] = {}
    for epoch, (made, gone, filled, is_summed) in enumerate(claims, 1):
        same = coverage.starts and not coverage.changed({FACTORY: made})
        following = final + 1
        before = coverage.starts.get(FACTORY)
        start = claim(coverage, epoch, made, following)
        assert not same or start == before
        for number in filled:
            if number <= final and number < start:
                coverage.add(FACTORY, number, number)
                now.setdefault(number, set()).add(made)
        for number in range(following, following + gone):
            coverage.on_block()
            if number >= start:
                now.setdefault(number, set()).add(made)
        final += gone
        if is_summed:
            coverage = recalled(coverage)
        told = {
            n: hole.family
            for hole in coverage.unwritten(FACTORY, Range(0, final))
            for n in range(hole.blocks.first, hole.blocks.last + 1)
        }
        whole = range(min(final + 1, start))
        lacking = {n for n in whole if not any(has_all(each, made) for each in now.get(n, ()))}
        assert told.keys() == lacking
        assert all(f in now[n] if f is not None else n not in now for n, f in told.items())


def recalled(coverage):
    """The same, as one that reads only a summary has it."""
    log = BlockLog()
    log.on_record(summary_of(coverage))
    return log.coverage


def summary_of(coverage, epoch=1, blocks=(), final=-1):
    return Summary(
        chain=CHAIN,
        epoch=epoch,
        writer="x",
        written_ms=0,
        contracts=coverage.starts,
        makes=coverage.families,
        spans=coverage.spans,
        final=final,
        blocks=list(blocks),
    )


def test_a_chain_with_blocks_of_which_no_claim_is_left_is_written_again_not_left_out():
    log = log_of(*(block(n) for n in range(9)), final(5))
    contracts, to_number = advance(log, takeover_of(new_watch()))
    assert contracts == {AMM: 6, FACTORY: 6}
    assert to_number == 5
    for address in contracts:
        assert log.coverage.unwritten(address, Range(0, 5)) == [Hole(Range(0, 5))]


def test_contracts_of_a_chain_that_was_followed_without_any_are_new():
    whole = log_of(Owner(chain=CHAIN, epoch=1, writer="1"), *FOLLOWED[1:])
    for log in (log_of(whole.summary(CHAIN, {}, now_ms=0)), whole):
        assert advance(log, takeover_of(new_watch()))[0] == {AMM: 6, FACTORY: 6}
        assert log.coverage.unwritten(AMM, Range(0, 5)) == [Hole(Range(0, 5))]


def test_contracts_that_were_taken_out_for_a_while_lack_that_while():
    log = log_of(*FOLLOWED)
    assert advance(log, takeover_of(Watch(CHAIN, KINDS, {}))) == ({}, 5)
    ends = [msgspec.structs.replace(block(n), epoch=2) for n in range(6, 20)]
    for record in (*ends, msgspec.structs.replace(final(15), epoch=2)):
        log.on_record(record)
    assert advance(log, takeover_of(new_watch())) == ({AMM: 16, FACTORY: 16}, 15)
    missing = log.coverage.missing(AMM, 0, 15)
    assert [(hole.first, hole.last) for hole in missing] == [(6, 15)]
