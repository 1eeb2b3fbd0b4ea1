"""What pools hold: after each block, when blocks are undone, and when they are final."""

import pytest

from chaintide.agents.partition import Input
from chaintide.agents.pools import PoolRecovery, PoolsLogic
from chaintide.streams import codec
from chaintide.streams.chain.records import ChainLog, Head
from chaintide.streams.records import Final, Market, Undo
from chaintide.streams.views import PoolState, PoolView

NOW_MS = 1_762_795_440_000
OURS, PAIR, RANGE = Market("local:0xa1/0x01"), Market("local:0xb2"), Market("local:0xc3")


def log(number: int, market: Market, event: str, *, epoch: int = 1, index: int = 0, **args: object):
    return ChainLog(
        chain="local",
        number=number,
        block_hash=f"0x{number}",
        time_ms=NOW_MS + number * 1_000,
        log_index=index,
        tx_hash="0x",
        tx_index=0,
        address=market.partition(":")[2].partition("/")[0],
        stream=market.partition(":")[2],
        event=event,
        args=args,
        epoch=epoch,
    )


def reserves(number: int, tokens: int, dollars: int, **more: int) -> ChainLog:
    return log(
        number, OURS, "ReservesUpdated", tokenReserves=f"{tokens}", usdcReserves=dollars, **more
    )


def swap(number: int, price: int, liquidity: int, tick: int) -> ChainLog:
    return log(number, RANGE, "Swap", sqrtPriceX96=f"{price}", liquidity=f"{liquidity}", tick=tick)


def change(number: int, event: str, lower: int, upper: int, amount: int) -> ChainLog:
    return log(number, RANGE, event, tickLower=lower, tickUpper=upper, amount=f"{amount}")


def undo(to_number: int, epoch: int = 1) -> Undo:
    return Undo(chain="local", to_number=to_number, epoch=epoch)


def final(number: int, epoch: int = 1) -> Final:
    return Final(chain="local", number=number, block_hash="0x", time_ms=NOW_MS, epoch=epoch)


class Pools:
    """One partition: its logic, and the views it has written."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, bytes | None]] = []
        self.inputs: list[Input] = []
        self.logic = PoolsLogic(PoolRecovery())

    def say(self, *records: object) -> None:
        for record in records:
            message = Input(0, len(self.inputs), NOW_MS, b"", codec.encode(record))
            self.inputs.append(message)
            assert self.logic.on_input(message) == []

    def flush(self) -> None:
        self.written += self.logic.drain()

    def view(self, market: Market = OURS) -> PoolView:
        self.flush()
        recovery = PoolRecovery()
        for key, value in self.written:
            recovery.on_entry(key, value)
        return recovery.pools[market]

    def newest(self, market: Market = OURS) -> PoolState | None:
        return self.view(market).newest

    def restart(self, again: int) -> None:
        """Start from what is written, and read the last inputs ``again``."""
        recovery = PoolRecovery()
        for key, value in self.written:
            recovery.on_entry(key, value)
        self.logic = PoolsLogic(recovery)
        for message in self.inputs[max(0, len(self.inputs) - again) :]:
            self.logic.on_input(message)


@pytest.fixture
def pools() -> Pools:
    return Pools()


def test_a_pool_holds_what_its_last_log_says(pools: Pools):
    pools.say(reserves(1, 10, 20), reserves(2, 11, 19), reserves(2, 12, 18, index=4))
    assert pools.newest() == PoolState(
        number=2, block_hash="0x2", log_index=4, time_ms=NOW_MS + 2_000, reserves=("12", "18")
    )
    assert pools.view().kind == "reserves"
    assert [held.number for held in pools.view().pending] == [1, 2], "one for each block"


def test_undo_brings_back_what_the_pool_held_before(pools: Pools):
    pools.say(reserves(1, 10, 20), reserves(2, 11, 19), undo(1))
    assert pools.newest().reserves == ("10", "20")
    pools.say(undo(0))
    assert pools.newest() is None


def test_what_is_final_stays(pools: Pools):
    pools.say(reserves(1, 10, 20), reserves(2, 11, 19), reserves(3, 12, 18), final(2), undo(0))
    view = pools.view()
    assert (view.settled.number, view.pending) == (2, [])
    pools.say(reserves(2, 99, 99))
    assert pools.newest().reserves == ("11", "19"), "final blocks have said all they say"


def test_history_that_comes_late_says_what_a_pool_held_until_it_was_heard_of(pools: Pools):
    pools.say(final(5), reserves(2, 10, 20), reserves(4, 11, 19), reserves(3, 9, 9))
    view = pools.view()
    assert (view.settled.number, view.settled.reserves, view.pending) == (4, ("11", "19"), [])
    pools.say(reserves(6, 12, 18), reserves(5, 7, 7))
    assert pools.newest().reserves == ("12", "18")
    pools.say(undo(5))
    assert pools.newest().reserves == ("7", "7")


def test_a_replaced_follower_is_ignored(pools: Pools):
    pools.say(reserves(1, 10, 20), undo(1, epoch=2), reserves(2, 9, 9), undo(0), final(1))
    assert pools.newest().reserves == ("10", "20")
    assert pools.view().settled is None


def test_logs_of_other_kinds_and_malformed_ones_change_nothing(pools: Pools):
    pools.say(
        reserves(1, 10, 20),
        log(2, OURS, "PoolCreated"),
        log(2, OURS, "ReservesUpdated", tokenReserves="1"),
        log(2, OURS, "ReservesUpdated", tokenReserves="x", usdcReserves="y"),
        log(2, OURS, "Mint", amount0="1"),
        Head(chain="local", number=2, block_hash="0x", time_ms=0, epoch=1),
    )
    assert pools.newest().number == 1


def test_a_pair_says_its_reserves_by_sync(pools: Pools):
    pools.say(log(1, PAIR, "Sync", reserve0="7", reserve1="8"))
    assert (pools.view(PAIR).kind, pools.newest(PAIR).reserves) == ("pair", ("7", "8"))


def test_concentrated_liquidity_changes_by_what_is_added_around_the_price(pools: Pools):
    pools.say(change(1, "Mint", -10, 10, 5))
    pools.flush()
    assert pools.written == [], "without a price nobody knows what counts"
    pools.say(log(2, RANGE, "Initialize", sqrtPriceX96=f"{2**96}", tick=0))
    pools.say(change(3, "Mint", -10, 10, 500), change(3, "Mint", 0, 5, 50))
    pools.say(change(4, "Mint", -10, 0, 7), change(4, "Mint", 1, 9, 7))
    assert (pools.newest(RANGE).liquidity, pools.newest(RANGE).number) == ("550", 3)
    pools.say(swap(5, 2**95, 550, -3), change(6, "Burn", -10, 10, 100))
    held = pools.newest(RANGE)
    assert (held.sqrt_price_x96, held.liquidity, held.tick) == (f"{2**95}", "450", -3)
    pools.say(undo(4))
    assert pools.newest(RANGE).liquidity == "550"


@pytest.mark.parametrize("again", range(8))
def test_logs_that_come_again_after_a_restart_change_nothing(pools: Pools, again: int):
    pools.say(undo(0), reserves(1, 10, 20), reserves(2, 11, 19), undo(1), reserves(2, 12, 18))
    pools.say(final(1), reserves(3, 13, 17))
    before = pools.view()
    pools.restart(again)
    assert pools.view() == before
    pools.say(undo(2))
    assert pools.newest().reserves == ("12", "18")


def test_a_late_write_of_a_replaced_owner_does_not_count(pools: Pools):
    pools.say(reserves(1, 10, 20))
    pools.flush()
    old = pools.logic
    pools.restart(0)
    pools.say(reserves(2, 11, 19))
    pools.flush()
    old.on_input(Input(0, 99, NOW_MS, b"", codec.encode(reserves(3, 1, 1))))
    pools.written += old.drain()
    assert pools.newest().number == 2


def test_what_cannot_be_understood_is_returned_with_its_place(pools: Pools):
    [letter] = pools.logic.on_input(Input(3, 7, NOW_MS, b"local", b"oops"))
    assert (letter.topic, letter.partition, letter.offset) == ("chaintide.chain.v1", 3, 7)
    newer = codec.encode(undo(0)).replace(b'"v":1', b'"v":2')
    [letter] = pools.logic.on_input(Input(3, 8, NOW_MS, b"local", newer))
    assert "schema version 2" in letter.reason


def test_there_is_a_bound_of_pools(monkeypatch: pytest.MonkeyPatch, pools: Pools):
    monkeypatch.setattr("chaintide.agents.pools.MAX_POOLS", 1)
    pools.say(reserves(1, 10, 20), log(1, PAIR, "Sync", reserve0="7", reserve1="8"))
    pools.say(reserves(2, 11, 19))
    assert (pools.logic.unseen, pools.newest().number) == (1, 2)
