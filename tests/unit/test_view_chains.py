"""What a serving process makes of blocks that are undone: tapes, retractions, figures."""

import json

import pytest
from candles import batch, candle

from chaintide.api.state.overlay import seq_of
from chaintide.api.state.view import LogRecord, View
from chaintide.streams import codec, topics
from chaintide.streams.chain.records import Alias
from chaintide.streams.records import Final, Market, TradeBatch, Undo
from chaintide.streams.views import PoolState, PoolView

POOL = Market("local:0xa1")
OTHER = Market("base:0xa1")


class Log:
    """The records of a view, partition by partition."""

    def __init__(self) -> None:
        self.view = View()
        self.offset = 0

    def say(self, value: object, partition: int = 0, topic: topics.Topic = topics.TRADES):
        self.offset += 1
        record = LogRecord(topic.name, self.offset, 10_000, codec.encode(value), partition)
        return self.view.on_record(record)

    def ids(self, market: Market = POOL) -> list[int]:
        return [trade.trade_id for trade in self.view.tape(market).newest(99)]


def trades(block: int, *ids: int, epoch: int = 1, market: Market = POOL) -> TradeBatch:
    return TradeBatch(
        market=market,
        price_scale=0,
        size_scale=0,
        ids=[*ids],
        times_us=[block * 1_000_000 for _ in ids],
        prices=[block for _ in ids],
        sizes=[1 for _ in ids],
        sides="b" * len(ids),
        block=block,
        epoch=epoch,
    )


def undo(to_number: int, epoch: int = 1) -> Undo:
    return Undo(chain="local", to_number=to_number, epoch=epoch)


def test_undone_trades_leave_the_tape_and_clients_are_told():
    log = Log()
    log.say(trades(5, 1))
    log.say(trades(6, 2, 3))
    [update] = log.say(undo(5))
    assert (update.channel, update.type) == (f"trades:{POOL}", "retraction")
    assert json.loads(update.data) == {"above_block": 5}
    assert update.seq == (log.offset + 1) * 1_000, "after every trade it takes back"
    assert log.ids() == [1]
    snapshot = log.view.snapshot(f"trades:{POOL}", 9)
    assert snapshot is not None
    assert snapshot.seq == update.seq


def test_an_id_may_come_again_in_the_block_that_replaces_another():
    log = Log()
    log.say(trades(6, 2))
    log.say(undo(5))
    [update] = log.say(trades(6, 2))
    assert [trade["block"] for trade in json.loads(update.data)] == [6]
    assert log.ids() == [2]


def test_retractions_do_not_replace_each_other_nor_trades():
    log = Log()
    updates = log.say(trades(6, 1)) + log.say(undo(5)) + log.say(trades(6, 2)) + log.say(undo(4))
    keys = [update.key for update in updates]
    assert len({keys[1], keys[3]} | {keys[0]}) == 3
    assert keys[0] == keys[2]


def test_undo_counts_where_the_trades_of_the_market_are():
    log = Log()
    log.say(trades(6, 1), partition=3)
    assert log.say(undo(5), partition=2) == []
    assert log.ids() == [1], "its own partition may have trades that came after the undo"
    assert len(log.say(undo(5), partition=3)) == 1
    assert log.ids() == []


def test_a_replaced_follower_is_not_believed():
    log = Log()
    log.say(trades(5, 1))
    log.say(undo(5, epoch=2))
    assert log.say(trades(6, 2, epoch=1)) == []
    assert log.say(undo(0, epoch=1)) == []
    assert log.ids() == [1]


def test_what_is_final_is_neither_undone_nor_told_again():
    log = Log()
    log.say(trades(5, 1))
    log.say(Final(chain="local", number=5, block_hash="0x", time_ms=5_000, epoch=1))
    assert log.say(trades(5, 1, 2)) == []
    assert log.ids() == [1]


def test_other_chains_and_venues_are_left_alone():
    log = Log()
    log.say(trades(6, 1, market=OTHER))
    log.say(trades(6, 1))
    assert [update.channel for update in log.say(undo(0))] == [f"trades:{POOL}"]
    assert log.ids(OTHER) == [1]


def test_figures_of_24_hours_are_those_of_the_candles_that_are_left():
    log, clean = Log(), Log()
    kept = candle(0, market=POOL, open="2", high="3", low="1", close="2", volume="4")
    undone = candle(1, market=POOL, open="9", high="9", low="9", close="9", volume="5", trades=7)
    empty = candle(
        1,
        market=POOL,
        **dict.fromkeys(("open", "high", "low", "close"), "2"),
        **dict.fromkeys(("volume", "quote_volume", "taker_buy_volume"), "0"),
        **dict.fromkeys(("vwap", "first_trade_id", "last_trade_id")),
        trades=0,
        fill="carry",
        status="corrected",
        revision=2,
        reason="reorg",
    )
    log.say(batch(kept, undone), topic=topics.CANDLES)
    assert log.view.figures(POOL).high == "9"
    *_, update = log.say(batch(empty, offset=1), topic=topics.CANDLES)
    clean.say(batch(kept, empty), topic=topics.CANDLES)
    assert log.view.figures(POOL) == clean.view.figures(POOL)
    figures = json.loads(update.data)
    assert (figures["last"], figures["high"], figures["volume"]) == ("2", "3", "4")
    assert figures["trades"] == kept.trades


class PoolLog(Log):
    """The records of pools."""

    def say(self, value: object, partition: int = 0, topic: topics.Topic = topics.VIEWS):
        return super().say(value, partition, topic)


def held(*blocks: tuple[int, str, int], offset: int = 0, final: int = 0, generation: int = 1):
    """A pool that holds so much after each block; those up to ``final`` are final."""
    states = [
        PoolState(
            number=number,
            block_hash=block_hash,
            log_index=0,
            time_ms=number * 1_000,
            reserves=(f"{amount}", "10"),
        )
        for number, block_hash, amount in blocks
    ]
    settled = [state for state in states if state.number <= final]
    return PoolView(
        market=POOL,
        kind="reserves",
        generation=generation,
        offset=offset,
        settled=settled[-1] if settled else None,
        pending=[state for state in states if state.number > final],
    )


def alias() -> Alias:
    return Alias(
        market=POOL,
        name="local:RUST-USDC",
        base="RUST",
        quote="USDC",
        base_token="0x01",
        quote_token="0x02",
        base_scale=1,
        quote_scale=0,
    )


def pool_of(log: Log) -> list[dict]:
    snapshot = log.view.snapshot(f"views:{POOL}", 1)
    return [] if snapshot is None else [json.loads(entry) for entry in snapshot.data]


def test_what_a_pool_holds_is_told_as_it_changes():
    log = Log()
    assert log.view.snapshot(f"views:{POOL}", 1) is None, "nobody has heard of it"
    [first] = log.say(held((5, "a", 7)), topic=topics.VIEWS)
    [second] = log.say(held((5, "a", 7), (6, "b", 8), offset=1), topic=topics.VIEWS)
    assert (first.channel, first.type, second.type) == (f"views:{POOL}", "update", "update")
    assert first.key == second.key, "the later one says all"
    assert [json.loads(second.data)] == pool_of(log)
    assert (second.event_ms, pool_of(log)[0]["number"]) == (6_000, 6)
    snapshot = log.view.snapshot(f"views:{POOL}", 1)
    assert snapshot is not None
    assert snapshot.seq == second.seq > first.seq


def test_that_a_pool_is_final_now_is_an_update_and_the_same_again_is_none():
    log = Log()
    log.say(held((5, "a", 7), (6, "b", 8)), topic=topics.VIEWS)
    assert log.say(held((5, "a", 7), (6, "b", 8), final=5, offset=1), topic=topics.VIEWS) == []
    [update] = log.say(held((6, "b", 8), final=6, offset=2), topic=topics.VIEWS)
    assert (update.type, json.loads(update.data)["is_final"]) == ("update", True)


@pytest.mark.parametrize(
    "after",
    [
        held((5, "a", 7), offset=1),
        held((5, "a", 7), (6, "z", 9), offset=1),
        held((5, "a", 7), (7, "y", 9), offset=1),
        held((5, "a", 7), offset=1, final=5),
    ],
)
def test_what_a_reorg_takes_back_of_a_pool_is_corrected(after: PoolView):
    log = Log()
    log.say(held((5, "a", 7), (6, "b", 8)), topic=topics.VIEWS)
    [update] = log.say(after, topic=topics.VIEWS)
    assert update.type == "correction"
    assert [json.loads(update.data)] == pool_of(log)


def test_a_pool_of_which_nothing_is_left_is_retracted():
    log = Log()
    log.say(held((5, "a", 7), (6, "b", 8)), topic=topics.VIEWS)
    [update] = log.say(held(offset=1), topic=topics.VIEWS)
    assert (update.type, json.loads(update.data)) == ("retraction", {"above_block": 4})
    assert pool_of(log) == []
    assert log.say(held(offset=2), topic=topics.VIEWS) == []
    [update] = log.say(held((5, "z", 3), offset=3), topic=topics.VIEWS)
    assert update.type == "update"


def test_a_pool_is_told_again_once_its_tokens_are_known():
    log = Log()
    [unnamed] = log.say(held((5, "a", 70)), topic=topics.VIEWS)
    [named] = log.say(alias(), topic=topics.ALIASES)
    assert json.loads(unnamed.data)["price"] is None
    assert json.loads(named.data)["base_reserve"] == "7"
    assert unnamed.seq < named.seq < seq_of(log.offset + 1)
    assert log.say(alias(), topic=topics.ALIASES) == []


def test_a_replaced_worker_says_nothing_of_pools():
    log = Log()
    log.say(held((5, "a", 7), generation=2), topic=topics.VIEWS)
    assert log.say(held((6, "b", 8), offset=9), topic=topics.VIEWS) == []
    assert log.say(b"7", topic=topics.VIEWS) == [], "a note of the worker to itself"
