"""A follower asks for what it needs, and never undoes a final block."""

from random import Random

import msgspec
import pytest
from chains import RULES, FakeChain

from chaintide.streams.chain import window as windows
from chaintide.streams.chain.follower import DEPTHS, MAX_REJECTS, ChainRules, Follower
from chaintide.streams.chain.steps import (
    Apply,
    ApplyRange,
    Finalize,
    Halt,
    HeaderAt,
    HeaderOf,
    LogsOf,
    Reject,
    Retreat,
    Step,
)
from chaintide.streams.chain.window import Seen, Window
from chaintide.streams.errors import FatalError


@pytest.fixture
def chain() -> FakeChain:
    chain = FakeChain(Random(7))
    chain.grow(5)
    return chain


def follower(rules: ChainRules = RULES) -> Follower:
    return Follower(rules, Window())


def sync(follower: Follower, chain: FakeChain) -> list[Step]:
    """Answer every question truthfully and return what the follower decided."""
    steps = follower.on_head(chain.head)
    while (ask := follower.ask()) is not None:
        match ask:
            case HeaderAt(number):
                steps += follower.on_header(ask, chain.at(number))
            case HeaderOf(block_hash):
                steps += follower.on_header(ask, chain.by_hash[block_hash].header)
            case LogsOf(header):
                steps += follower.on_logs(ask, chain.by_hash[header.hash].logs)
    return steps


def numbers(steps: list[Step]) -> list[object]:
    return [s.header.number if isinstance(s, Apply) else s for s in steps]


def test_blocks_are_applied_in_order_from_the_start_to_the_head(chain):
    one = follower(msgspec.structs.replace(RULES, start=2))
    assert numbers(sync(one, chain)) == [2, 3, 4, 5]
    assert numbers(sync(one, chain)) == [], "nothing is applied twice"
    chain.grow()
    assert numbers(sync(one, chain)) == [6]


def test_a_head_before_the_start_waits(chain):
    one = follower(msgspec.structs.replace(RULES, start=9))
    assert sync(one, chain) == []
    chain.grow(4)
    assert numbers(sync(one, chain)) == [9]


def test_a_reorg_undoes_down_to_the_common_ancestor(chain):
    one = follower()
    sync(one, chain)
    chain.reorg(3, 4)
    assert numbers(sync(one, chain)) == [Retreat(2), 3, 4, 5, 6]


def test_a_shorter_branch_is_followed_too(chain):
    one = follower()
    sync(one, chain)
    chain.reorg(3, 1)
    assert numbers(sync(one, chain)) == [Retreat(2), 3]


def test_a_branch_that_comes_back_is_applied_again(chain):
    one = follower()
    sync(one, chain)
    old = chain.reorg(2, 3)
    sync(one, chain)
    chain.flap_back(old)
    assert numbers(sync(one, chain)) == [Retreat(3), 4, 5, 6]


def test_a_lagging_head_changes_nothing(chain):
    one = follower()
    sync(one, chain)
    for block in chain.blocks:
        assert one.on_head(block.header) == []
        assert one.ask() is None


def test_a_lagging_head_from_before_the_window_changes_nothing(chain):
    one = follower()
    sync(one, chain)
    one.on_finalized(chain.blocks[3].header)
    one.on_head(chain.blocks[1].header)
    assert one.ask() is None


def test_a_reorg_that_a_second_node_denies_is_not_believed(chain):
    one = follower()
    sync(one, chain)
    honest = chain.head
    chain.reorg(1, 1)
    one.on_head(chain.head)
    ask = one.ask()
    assert ask == HeaderAt(5, again=True)
    assert one.on_header(ask, honest) == [Reject("nodes disagree", "number=5")]
    assert one.ask() is None
    assert one.window.last is not None
    assert one.window.last.hash == honest.hash


def test_a_reorg_below_the_final_block_halts_the_chain_loudly(chain):
    one = follower()
    sync(one, chain)
    one.on_finalized(chain.blocks[4].header)
    chain.final = -1
    chain.reorg(3, 4)
    [halt] = sync(one, chain)
    assert isinstance(halt, Halt)
    assert "took back its final block 4" in halt.reason
    assert one.halted == halt.reason
    chain.grow(3)
    assert sync(one, chain) == [], "it is followed no further"


def test_a_lie_about_a_deep_reorg_does_not_halt_the_chain(chain):
    one = follower()
    sync(one, chain)
    one.on_finalized(chain.blocks[5].header)
    lie = msgspec.structs.replace(chain.head, hash="0x" + "66" * 32)
    one.on_head(lie)
    ask = one.ask()
    assert ask == HeaderAt(5, again=True)
    assert one.on_header(ask, chain.head) == [Reject("nodes disagree", "number=5")]
    assert not one.halted


def test_wrong_logs_are_asked_for_again_and_then_given_up_until_the_next_head(chain):
    one = follower()
    one.on_head(chain.at(0))
    for attempt in range(MAX_REJECTS):
        ask = one.ask()
        assert isinstance(ask, LogsOf), attempt
        wrong = [*chain.blocks[3].logs, *chain.blocks[4].logs, *chain.blocks[5].logs]
        assert wrong
        [reject] = one.on_logs(ask, wrong)
        assert isinstance(reject, Reject)
        assert reject.reason == "logs of another block"
    assert one.ask() is None
    assert numbers(sync(one, chain)) == [0, 1, 2, 3, 4, 5]


def test_a_block_that_is_gone_is_given_up_until_the_next_head(chain):
    one = follower()
    one.on_head(chain.at(0))
    ask = one.ask()
    assert isinstance(ask, LogsOf)
    [reject] = one.on_logs(ask, None)
    assert isinstance(reject, Reject)
    assert reject.reason == "no such block"
    assert one.ask() is None


def test_a_header_whose_hash_is_not_that_of_its_fields_is_named_and_asked_for_again(chain):
    one = follower()
    sync(one, chain)
    chain.grow(2)
    forged = msgspec.structs.replace(chain.head, sealed="0x" + "66" * 32)
    reject = Reject("hash differs", f"number=7 hash={chain.head.hash}")
    assert one.on_head(forged) == [reject]
    assert one.ask() is None
    assert one.on_finalized(forged) == [reject]
    sync(one, chain)
    assert one.on_finalized(forged) == [reject]
    assert one.window.final == -1
    one = follower()
    one.on_head(chain.head)
    ask = one.ask()
    assert ask == HeaderAt(0)
    forged = msgspec.structs.replace(chain.blocks[0].header, sealed="0x" + "66" * 32)
    [reject] = one.on_header(ask, forged)
    assert isinstance(reject, Reject)
    assert reject.reason == "hash differs"
    assert str(reject).endswith("if those of every node do, set has_hashes = false")
    assert one.ask() == ask


def test_a_wrong_header_is_named_and_asked_for_again(chain):
    one = follower()
    sync(one, chain)
    chain.grow(2)
    one.on_head(chain.head)
    ask = one.ask()
    assert ask == HeaderAt(6)
    [reject] = one.on_header(ask, chain.at(3))
    assert reject == Reject("wrong header", "asked=6 number=3")
    assert one.ask() == ask
    [reject] = one.on_header(ask, None)
    assert isinstance(reject, Reject)
    assert reject.reason == "no such block"
    chain.reorg(4, 6)
    one.on_header(ask, chain.at(6))
    ask = one.ask()
    assert isinstance(ask, HeaderOf)
    [reject] = one.on_header(ask, chain.at(3))
    assert isinstance(reject, Reject)
    assert reject.reason == "wrong header"
    sync(one, chain)
    assert one.window.last is not None
    assert one.window.last.hash == chain.head.hash


def test_blocks_become_final_once_and_in_order(chain):
    one = follower()
    sync(one, chain)
    [final] = one.on_finalized(chain.blocks[3].header)
    assert isinstance(final, Finalize)
    assert final.block.number == 3
    assert one.on_finalized(chain.blocks[3].header) == []
    assert one.on_finalized(chain.blocks[2].header) == [], "finality does not go back"
    assert [seen.number for seen in one.window] == [3, 4, 5]


def test_a_final_block_that_is_not_ours_or_above_our_head_is_not_believed(chain):
    one = follower()
    sync(one, chain)
    stranger = msgspec.structs.replace(chain.blocks[3].header, hash="0x" + "66" * 32)
    [reject] = one.on_finalized(stranger)
    assert isinstance(reject, Reject)
    assert reject.reason == "finalized is not ours"
    above = msgspec.structs.replace(chain.head, number=99)
    assert one.on_finalized(above) == []
    assert one.window.final == -1


def test_depth_makes_blocks_final_where_no_node_says_it(chain):
    one = follower(ChainRules(chain="bsc", chain_id=56))
    assert one.on_no_finalized() == []
    chain.grow(30)
    sync(one, chain)
    [final] = one.on_no_finalized()
    assert isinstance(final, Finalize)
    assert final.block.number == 5
    assert one.on_no_finalized() == []
    assert ChainRules(chain="x", chain_id=12345).depth == 256


def test_the_first_block_can_be_replaced_while_it_is_not_final(chain):
    one = follower(msgspec.structs.replace(RULES, start=5))
    sync(one, chain)
    chain.reorg(1, 2)
    assert numbers(sync(one, chain)) == [Retreat(4), 5, 6]


def test_ranges_follow_each_other_and_are_final(chain):
    one = follower()
    headers = {n: chain.blocks[n].header for n in range(6)}
    logs = [log for block in chain.blocks[:4] for log in block.logs]
    first, final = one.on_range(headers, logs, chain.blocks[3].header)
    assert isinstance(first, ApplyRange)
    assert isinstance(final, Finalize)
    assert one.window.final == 3
    [reject] = one.on_range(headers, logs, chain.blocks[3].header)
    assert isinstance(reject, Reject)
    [reject] = one.on_range({}, chain.blocks[5].logs or logs, chain.blocks[5].header)
    assert isinstance(reject, Reject)
    assert reject.reason == "logs of another block"
    assert numbers(sync(one, chain)) == [4, 5], "the walk goes on without a seam"
    [reject] = one.on_range({}, [], msgspec.structs.replace(chain.head, number=9))
    assert isinstance(reject, Reject)


def test_a_range_that_does_not_join_the_final_block_halts_the_chain_once_told_again(chain):
    one = follower()
    headers = {n: chain.blocks[n].header for n in range(4)}
    one.on_range(headers, [], headers[3])
    other = msgspec.structs.replace(chain.blocks[4].header, parent_hash="0x" + "66" * 32)
    for _ in range(MAX_REJECTS - 1):
        [reject] = one.on_range({4: other}, [], other)
        assert isinstance(reject, Reject)
        assert reject.reason == "headers do not join"
        assert not one.halted
    [halt] = one.on_range({4: other}, [], other)
    assert isinstance(halt, Halt)
    assert "took back its final block 3" in one.halted


def test_a_range_that_joins_ends_the_doubts_of_those_before(chain):
    one = follower()
    headers = {n: chain.blocks[n].header for n in range(6)}
    for number in (3, 4, 5):
        [*_, last] = one.on_range(headers, [], headers[number])
        assert isinstance(last, Finalize)
        end = msgspec.structs.replace(headers[0], number=number + 1)
        for _ in range(MAX_REJECTS - 1):
            [reject] = one.on_range({}, [], end)
            assert isinstance(reject, Reject), "the first header says what the range joins"


def test_a_full_window_waits_until_something_is_final(chain, monkeypatch):
    monkeypatch.setattr(windows, "MAX_BLOCKS", 4)
    one = follower()
    assert numbers(sync(one, chain)) == [0, 1, 2, 3]
    one.on_finalized(chain.blocks[2].header)
    assert numbers(sync(one, chain)) == [4, 5]


def test_the_window_holds_more_than_the_depth_at_which_any_chain_is_final():
    assert max(DEPTHS.values()) < windows.MAX_BLOCKS


def test_a_window_refuses_what_does_not_follow_and_to_undo_what_is_final():
    window = Window()
    window.push(Seen(number=5, hash="a", parent_hash="", time_ms=0))
    with pytest.raises(FatalError, match="does not follow"):
        window.push(Seen(number=6, hash="b", parent_hash="x", time_ms=0))
    window.finalize(5)
    with pytest.raises(FatalError, match="below the final block 5"):
        window.cut(4)
    assert len(window) == 1


def test_the_head_of_a_node_on_another_branch_is_walked_back_by_hash(chain):
    one = follower()
    sync(one, chain)
    chain.reorg(4, 2)
    one.on_head(chain.head)
    asked = []
    while isinstance(ask := one.ask(), HeaderOf):
        asked.append(ask.hash)
        one.on_header(ask, chain.by_hash[ask.hash].header)
    assert asked == [chain.blocks[2].header.hash]
