"""What a partition takes from a chain: pending trades, undo, final, and nothing stale."""

import pytest

from chaintide.agents import bars
from chaintide.agents.book import Rules
from chaintide.agents.changelog import Recovery
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.streams import codec
from chaintide.streams.records import Candle, Final, Heartbeat, Late, Market, TradeBatch, Undo

MARKET = Market("local:T-USDC")
NOW_MS = 1_762_795_440_000


def trades(
    block: int, *ids: int, epoch: int = 1, market: str = MARKET, traders: str = ""
) -> TradeBatch:
    return TradeBatch(
        market=Market(market),
        price_scale=0,
        size_scale=0,
        ids=[*ids],
        times_us=[NOW_MS * 1000 + block for _ in ids],
        prices=[block for _ in ids],
        sizes=[1 for _ in ids],
        sides="b" * len(ids),
        traders=[*traders] or None,
        block=block,
        epoch=epoch,
    )


def undo(to_number: int, epoch: int = 1) -> Undo:
    return Undo(chain="local", to_number=to_number, epoch=epoch)


def final(number: int, epoch: int = 1, time_ms: int = NOW_MS) -> Final:
    return Final(chain="local", number=number, block_hash="0x", time_ms=time_ms, epoch=epoch)


def beat(after_s: int, epoch: int = 1) -> Heartbeat:
    return Heartbeat(venue="local", time_us=(NOW_MS + after_s * 1000) * 1000, epoch=epoch)


def send(logic: PartitionLogic, *records: TradeBatch | Undo | Final | Heartbeat) -> None:
    for record in records:
        value = codec.encode(record)
        assert logic.on_input(Input(0, logic.offset + 1, NOW_MS + 120_000, b"", value)) == []


def week(logic: PartitionLogic) -> Candle:
    [*_, newest] = [c for b in logic.drain() for c in b.candles if c.interval == "1w"]
    return newest


def new() -> PartitionLogic:
    return PartitionLogic(Rules(), Recovery())


def restarted(logic: PartitionLogic) -> PartitionLogic:
    recovery = Recovery()
    for key, value in logic.checkpoint():
        recovery.on_entry(key, value)
    return PartitionLogic(Rules(), recovery)


def test_undone_trades_are_gone_and_may_come_again():
    logic = new()
    send(logic, trades(1, 1), trades(2, 2, 3), undo(1))
    assert week(logic).trades == 1
    send(logic, trades(2, 2))
    assert week(logic).trades == 2


def test_a_candle_that_a_reorg_empties_is_written_with_no_trades():
    logic = new()
    send(logic, trades(5, 1), Heartbeat(venue="local", time_us=NOW_MS * 1000 + 60_000_000))
    closed = {c.interval: c for b in logic.drain() for c in b.candles}["1m"]
    send(logic, undo(4))
    emptied = {c.interval: c for b in logic.drain() for c in b.candles}["1m"]
    assert (closed.trades, closed.revision) == (1, 1)
    assert (emptied.trades, emptied.revision, emptied.status) == (0, 2, "corrected")
    assert (emptied.reason, emptied.volume, emptied.fill) == ("reorg", "0", "carry")


def test_what_is_final_is_not_undone_and_not_counted_again():
    logic = new()
    send(logic, trades(1, 1), trades(2, 2), final(1), undo(0))
    assert week(logic).trades == 1
    send(logic, trades(1, 1, 9))
    assert logic.drain() == [], "a block that is final has had all of its trades"


def test_a_replaced_follower_is_ignored():
    logic = new()
    send(logic, trades(1, 1), undo(1, epoch=2), trades(2, 2, epoch=1), undo(0, epoch=1))
    assert week(logic).trades == 1
    send(logic, final(7, epoch=1), trades(2, 2, epoch=2))
    assert week(logic).trades == 2


def test_epoch_and_final_block_survive_a_restart():
    logic = new()
    send(logic, undo(0, epoch=3), trades(1, 1, epoch=3), trades(2, 2, epoch=3), final(1, epoch=3))
    logic = restarted(logic)
    logic.offset = 9
    send(logic, undo(0, epoch=2), trades(5, 5, epoch=2), trades(1, 7, epoch=3))
    assert logic.drain() == []
    send(logic, undo(0, epoch=4))
    assert week(logic).trades == 1


def test_undo_and_final_of_one_chain_leave_other_venues_alone():
    logic = new()
    other = trades(2, 1, market="base:T-USDC")
    send(logic, trades(2, 1), other)
    logic.drain()
    send(logic, undo(1))
    assert {batch.market for batch in logic.drain()} == {MARKET}


def test_messages_that_come_again_after_a_crash_change_nothing():
    logic, again = new(), [trades(1, 1), undo(0), trades(1, 1), trades(2, 2), final(1)]
    send(logic, *again)
    logic = restarted(logic)
    send(logic, *again)
    assert logic.drain() == []
    send(logic, undo(1))
    assert week(logic).trades == 1


def minutes(logic: PartitionLogic) -> list[Candle]:
    return [c for b in logic.drain() for c in b.candles if c.interval == "1m"]


def test_a_candle_is_final_once_its_chain_is_final_beyond_its_end():
    logic = new()
    send(logic, trades(1, 1), beat(70), trades(2, 2), final(1, time_ms=NOW_MS + 59_000))
    assert {c.status for c in minutes(logic)} == {"corrected"}, "block 2 may still be replaced"
    send(logic, undo(1), final(2, time_ms=NOW_MS + 60_000))
    [*_, settled] = minutes(logic)
    assert (settled.status, settled.trades, settled.reason) == ("final", 1, "reorg")


def test_a_candle_is_not_final_before_it_has_closed():
    logic = new()
    send(logic, trades(1, 1), final(1, time_ms=NOW_MS + 600_000))
    assert {c.status for c in minutes(logic)} == {"open"}
    send(logic, beat(60))
    assert [c.status for c in minutes(logic)] == ["final"]


def test_trades_of_a_final_candle_are_late_whatever_their_block_says():
    logic = new()
    send(logic, trades(1, 1), beat(60), final(1, time_ms=NOW_MS + 60_000))
    logic.drain()
    value = codec.encode(trades(9, 9))
    [late] = logic.on_input(Input(0, logic.offset + 1, NOW_MS + 120_000, b"", value))
    assert isinstance(late, Late)
    assert minutes(logic) == []


def test_traders_count_once_and_only_while_their_trades_stand():
    logic = new()
    send(logic, trades(1, 1, 2, 3, traders="aab"), trades(2, 4, 5, traders="bc"))
    assert week(logic).unique_traders == 3
    send(logic, undo(1))
    assert week(logic).unique_traders == 2
    send(logic, final(1), trades(2, 6, traders="d"))
    assert week(logic).unique_traders == 3
    send(logic, undo(1))
    assert week(logic).unique_traders == 2, "settled traders stay"


def test_traders_survive_a_restart_settled_or_pending():
    logic = new()
    send(logic, trades(1, 1, 2, traders="ab"), final(1), trades(2, 3, traders="c"))
    logic = restarted(logic)
    logic.offset = 9
    send(logic, trades(3, 4, traders="c"))
    assert week(logic).unique_traders == 3
    send(logic, undo(1))
    assert week(logic).unique_traders == 2


def test_who_traded_is_not_known_where_one_trade_does_not_say():
    logic = new()
    send(logic, trades(1, 1, traders="a"), trades(2, 2))
    assert week(logic).unique_traders is None
    send(logic, undo(1))
    assert week(logic).unique_traders == 1


def test_beyond_the_bound_the_number_of_traders_is_said_to_be_a_lower_one(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(bars, "MAX_TRADERS", 2)
    logic, told = new(), []
    for block, traders in enumerate(["a", "ab", "c", "d"], 1):
        ids = [block * 10 + place for place in range(len(traders))]
        send(logic, trades(block, *ids, traders=traders))
        candle = week(logic)
        told.append((candle.unique_traders, candle.has_more_traders))
    assert told == [(1, False), (2, False), (2, True), (2, True)]
    send(logic, undo(2))
    candle = week(logic)
    assert (candle.unique_traders, candle.has_more_traders) == (2, False)


def test_a_candle_without_trades_has_no_traders():
    logic = new()
    send(logic, trades(5, 1, traders="a"), undo(4))
    assert week(logic).unique_traders == 0
