"""Swaps become trades at exact prices; factories' children are watched from their first block."""

from fractions import Fraction
from random import Random

import msgspec
import pytest
from chains import AMM, CHAIN, FACTORY, IDS, KINDS, FakeChain, new_pools, new_watch, raw_log
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.chain import watch as watches
from chaintide.streams.chain.abi import Events
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.records import BlockEnd, ChainLog, Head
from chaintide.streams.chain.steps import Apply, ApplyRange
from chaintide.streams.chain.swaps import Pool, SwapForm, batches_of, price_of, swap_of, trade_id
from chaintide.streams.chain.watch import Factory, Kind, Named, Watch
from chaintide.streams.errors import ConfigError
from chaintide.streams.records import Heartbeat, Market, TradeBatch

POOL = Pool(Market("local:T0-USDC"), 18, 6)
V2 = Pool(
    Market("ethereum:WETH-USDC"),
    18,
    6,
    SwapForm("Swap", ("amount1In", "amount1Out"), ("amount0In", "amount0Out"), "to"),
)


def swap(**args: str) -> ChainLog:
    given = {"user": "0xaa", "tokenAmount": "-2000000000000000000", "usdcAmount": "3000000"} | args
    return ChainLog(
        chain=CHAIN,
        number=7,
        block_hash="0x07",
        time_ms=5_000,
        log_index=3,
        tx_hash="0x",
        tx_index=0,
        address=AMM,
        stream=AMM,
        event="Swap",
        args=given,
    )


def test_a_user_who_takes_tokens_buys_at_quote_over_base():
    trade = swap_of(swap(), POOL)
    assert trade is not None
    assert (trade.price, trade.size, trade.side) == ((15, 1), (2 * 10**18, 18), "b")
    assert (trade.id, trade.time_us, trade.trader) == (trade_id(7, 3), 5_000_000, "0xaa")


def test_a_user_who_gives_tokens_sells():
    trade = swap_of(swap(tokenAmount="4000000000000000000", usdcAmount="-1000000"), POOL)
    assert trade is not None
    assert (trade.price, trade.side) == ((25, 2), "s")


@pytest.mark.parametrize(
    "args",
    [
        {"tokenAmount": "0"},
        {"usdcAmount": "-1"},
        {"usdcAmount": "much"},
        {"tokenAmount": "-" + "9" * 70, "usdcAmount": "1"},
    ],
)
def test_what_is_no_exchange_is_no_trade(args):
    assert swap_of(swap(**args), POOL) is None


def test_other_events_are_no_trades():
    assert swap_of(msgspec.structs.replace(swap(), event="Sync"), POOL) is None
    assert swap_of(msgspec.structs.replace(swap(), args={}), POOL) is None


def test_amounts_may_come_in_and_out_in_two_arguments():
    args = {"amount0In": "3000000", "amount0Out": "0", "amount1In": "0"}
    log = msgspec.structs.replace(swap(), args=args | {"amount1Out": str(10**18), "to": "0xbb"})
    trade = swap_of(log, V2)
    assert trade is not None
    assert (trade.price, trade.size, trade.side) == ((3, 0), (10**18, 18), "b")


AMOUNTS = st.integers(1, 10**30)
SCALES = st.integers(0, 18)


@given(AMOUNTS, SCALES, AMOUNTS, SCALES)
def test_a_price_is_right_to_18_digits_or_40_places(base, base_scale, quote, quote_scale):
    n, scale = price_of((base, base_scale), (quote, quote_scale))
    exact = Fraction(quote, 10**quote_scale) / Fraction(base, 10**base_scale)
    error = abs(Fraction(n, 10**scale) - exact)
    assert error <= max(exact / 10**17 / 2, Fraction(1, 2 * 10**40))
    assert n == 0 or scale == 0 or n % 10


def test_trades_of_a_block_are_pending_at_it_in_batches(monkeypatch):
    monkeypatch.setattr("chaintide.streams.chain.swaps.MAX_BATCH", 2)
    trades = [swap_of(msgspec.structs.replace(swap(), log_index=n), POOL) for n in range(5)]
    batches = [*batches_of(POOL.market, trades, block=7, epoch=3)]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert {(batch.block, batch.epoch) for batch in batches} == {(7, 3)}
    assert [n for batch in batches for n in batch.ids] == [trade_id(7, n) for n in range(5)]


# ----------------------------------------------------------------------- watch


def grown() -> FakeChain:
    chain = FakeChain(Random(3))
    chain.grow(40)
    return chain


def test_a_child_is_known_for_the_whole_block_that_makes_it():
    watch = new_watch()
    token = "0x" + "77" * 20
    place = ("0x" + "01" * 32, 5, 0, 0)
    [topic] = KINDS["token"].events.topics
    early = raw_log(place, token, [topic, IDS[0], IDS[0]], "0x" + "00" * 32)
    [made_topic] = KINDS["factory"].events.topics
    data = "0x" + ((32).to_bytes(32) + bytes(32)).hex()
    made = raw_log((*place[:3], 1), FACTORY, [made_topic, "0x" + "00" * 12 + token[2:]], data)
    header = grown().head
    assert watch.discover(5, [early, made]) == {token: "token"}
    assert [log.address for log in watch.matching(header, [early, made])] == [token, FACTORY]
    assert watch.discover(5, [early, made]) == {}, "it is found once"
    assert token in watch.addresses
    watch.forget(4)
    assert token not in watch.addresses


def test_what_a_child_makes_in_the_same_block_is_found_too():
    kinds = {
        "factory": Kind(KINDS["factory"].events, (Factory("TokenCreated", "token", "factory"),))
    }
    watch = Watch(CHAIN, kinds, {FACTORY: Named("factory")})
    [topic] = kinds["factory"].events.topics
    data = "0x" + ((32).to_bytes(32) + bytes(32)).hex()
    names = ["0x" + f"{n:02x}" * 20 for n in (1, 2)]
    place = ("0x" + "01" * 32, 5, 0)
    logs = [
        raw_log((*place, 0), names[0], [topic, "0x" + "00" * 12 + names[1][2:]], data),
        raw_log((*place, 1), FACTORY, [topic, "0x" + "00" * 12 + names[0][2:]], data),
    ]
    assert set(watch.discover(5, logs)) == set(names)


def test_there_is_a_bound_on_children(monkeypatch):
    monkeypatch.setattr(watches, "MAX_CONTRACTS", 1)
    chain, watch = grown(), new_watch()
    for block in chain.blocks:
        watch.discover(block.header.number, block.logs)
    assert len(watch.children) == 1
    assert watch.dropped > 0


def test_unknown_events_of_a_watched_contract_are_kept_as_they_are():
    log = raw_log(("0x" + "01" * 32, 5, 0, 0), AMM.upper().replace("X", "x"), [IDS[0]], "0x1234")
    [kept] = new_watch().matching(grown().head, [log])
    assert (kept.event, kept.topics, kept.data, kept.note) == (
        None,
        [IDS[0]],
        "0x1234",
        "unknown event",
    )
    assert kept.stream == kept.address == AMM


def test_a_kind_that_is_not_described_is_a_mistake_of_the_settings():
    with pytest.raises(ConfigError, match=r"unknown kind \['token'\]"):
        Watch(CHAIN, {"factory": KINDS["factory"]}, {FACTORY: Named("factory")})
    assert Watch(CHAIN, {"a": Kind(Events([]))}, {AMM: Named("a")}).kind_of(FACTORY) is None


# ------------------------------------------------------------------ publishing


def test_a_block_is_written_before_it_is_said_to_be_finished():
    chain, publishing = grown(), Publishing(new_watch(), new_pools(), 3, epoch=4)
    block = next(b for b in chain.blocks if len(b.trades) > 1)
    written, [done] = publishing.plan(Apply(block.header, block.logs))
    records = [outgoing.record for outgoing in written]
    logs = [r for r in records if isinstance(r, ChainLog)]
    batches = [r for r in records if isinstance(r, TradeBatch)]
    assert {r.epoch for r in (*logs, *batches)} == {4}
    assert sum(map(len, batches)) == len(block.trades)
    for kind in (Head, Heartbeat):
        told = [(o.partition, o.record.epoch) for o in written if isinstance(o.record, kind)]
        assert told == [(0, 4), (1, 4), (2, 4)]
    assert isinstance(done.record, BlockEnd)
    assert done.record.logs == len(logs)
    assert publishing.logs == len(logs)


def test_a_range_is_written_like_its_blocks_and_pending_at_its_end():
    chain = grown()
    headers = {block.header.number: block.header for block in chain.blocks}
    logs = [log for block in chain.blocks for log in block.logs]
    single, whole = (Publishing(new_watch(), new_pools(), 3, epoch=4) for _ in range(2))
    written, [done] = whole.plan(ApplyRange(headers, logs, chain.head))
    alone = [
        out.record
        for block in chain.blocks
        for out in single.plan(Apply(block.header, block.logs))[0]
        if isinstance(out.record, ChainLog)
    ]
    assert [out.record for out in written if isinstance(out.record, ChainLog)] == alone
    batches = [out.record for out in written if isinstance(out.record, TradeBatch)]
    assert {batch.block for batch in batches} == {chain.head.number}
    assert sum(map(len, batches)) == sum(len(block.trades) for block in chain.blocks)
    assert isinstance(done.record, BlockEnd)
    assert done.record.children == {a: child.kind for a, child in whole.watch.children.items()}
