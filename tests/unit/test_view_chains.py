"""What a serving process makes of blocks that are undone: tapes, retractions, figures."""

import json

from candles import batch, candle

from chaintide.api.state.view import LogRecord, View
from chaintide.streams import codec, topics
from chaintide.streams.records import Final, Market, TradeBatch, Undo

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
