"""Bad input goes to dead letters with its coordinates, and the partition goes on."""

import json

import pytest

from chaintide.agents.book import Rules
from chaintide.agents.changelog import Recovery, owner
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.streams import codec
from chaintide.streams.records import DeadLetter, Late, Market, Trade
from chaintide.streams.topics import TRADES

NOW_MS = 1_762_795_440_000
DAY_MS = 86_400_000


def trade(n: int = 1, *, time_ms: int = NOW_MS, **changes: object) -> bytes:
    fields = {"market": "kraken:BTC-USD", "trade_id": n, "time_us": time_ms * 1000}
    fields |= {"price": "5", "size": "1"}
    return json.dumps(fields | changes).encode()


def send(logic: PartitionLogic, *values: bytes, offset: int = 0) -> list[DeadLetter | Late]:
    refused: list[DeadLetter | Late] = []
    for place, value in enumerate(values, offset):
        refused += logic.on_input(Input(3, place, NOW_MS, b"key", value))
    return refused


def new() -> PartitionLogic:
    return PartitionLogic(Rules(), Recovery())


def counted(logic: PartitionLogic) -> int:
    newest = {c.interval: c for batch in logic.drain() for c in batch.candles}
    return newest["1w"].trades if newest else 0


def test_bad_messages_are_dead_letters_with_coordinates_and_reason():
    logic = new()
    next_week = trade(2, time_ms=NOW_MS + 7 * DAY_MS)
    refused = send(
        logic, b"{broken", trade(price=5), trade(price="-5"), trade(size="0"), next_week, trade(9)
    )
    assert all(isinstance(r, DeadLetter) for r in refused)
    assert [(r.topic, r.partition, r.offset, r.key) for r in refused] == [
        (TRADES.name, 3, offset, "key") for offset in range(5)
    ]
    reasons = [r.reason for r in refused if isinstance(r, DeadLetter)]
    wanted = ["malformed", "Expected `str`, got `int`", "price is not", "size is not", "604800 s"]
    assert all(part in reason for part, reason in zip(wanted, reasons, strict=True)), reasons
    assert counted(logic) == 1, "the good trade after them counts"


def test_one_bad_trade_does_not_take_its_batch_along():
    logic = new()
    one = Trade(market=Market("kraken:BTC-USD"), time_us=NOW_MS * 1000, price="5", size="1")
    batch = codec.batch_of_one(one)
    value = json.loads(codec.encode(batch))
    for name, extra in (("ids", 7), ("times_us", NOW_MS * 1000), ("prices", -1), ("sizes", 1)):
        value[name].append(extra)
    value["sides"] += "b"
    [dead] = send(logic, json.dumps(value).encode())
    assert isinstance(dead, DeadLetter)
    assert "trade 7 of kraken:BTC-USD: price is not above 0" in dead.reason
    assert counted(logic) == 1


def batch(**changes: object) -> bytes:
    fields = {"type": "trades", "market": "kraken:BTC-USD", "price_scale": 1, "size_scale": 8}
    fields |= {"ids": [1, 2], "times_us": [NOW_MS * 1000] * 2, "sides": "bs"}
    return json.dumps(fields | {"prices": [5, 6], "sizes": [1, 1]} | changes).encode()


def gap(**changes: object) -> bytes:
    fields = {"type": "gap", "market": "kraken:BTC-USD", "from_us": 1, "to_us": 2, "reason": "r"}
    return json.dumps(fields | changes).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed"),
        (batch(market="kraken:BTC|0|60000000"), "is not venue:SYMBOL"),
        (batch(market="kraken:BTC USD"), "is not venue:SYMBOL"),
        (batch(market="BTC-USD"), "is not venue:SYMBOL"),
        (batch(ids=[2**63] * 2), "trade id is not in 0..9223372036854775807"),
        (batch(ids=[1]), "columns of unequal length"),
        (batch(sides="b"), "columns of unequal length"),
        (batch(ids=[], times_us=[], prices=[], sizes=[], sides=""), "1 to 10000 trades"),
        (batch(price_scale=41), "scale not in 0..40"),
        (batch(price_scale="1"), "malformed"),
        (batch(prices=[-5, -6]), "price is not above 0"),
        (batch(prices=[10**100] * 2), "price is too large"),
        (batch(prices=[10**4000] * 2, sizes=[10**4000] * 2), "is too large"),
        (batch(sizes=[0, 0]), "size is not above 0"),
        (batch(times_us=[-1, -1]), "time is before 1970"),
        (batch(times_us=[(NOW_MS + 7 * DAY_MS) * 1000] * 2), "604800 s in the future"),
        (batch(times_us=[10**4000] * 2), "in the future"),
        (batch(v=2), "schema version 2, this program reads 1"),
        (batch(v=0), "schema version 0, this program reads 1"),
        (gap(market="kraken:BTC|0|60000000"), "is not venue:SYMBOL"),
        (gap(to_us=1), "gap ends before it begins"),
        (gap(to_us=2**63), "time of a gap"),
        (gap(from_us=-1), "time of a gap"),
        (b'{"type":"heartbeat","venue":"kraken","time_us":99999999999999999}', "future"),
    ],
)
def test_what_cannot_be_is_a_dead_letter_that_says_where_and_the_market_goes_on(
    value: bytes, reason: str
):
    logic = new()
    refused = send(logic, trade(8), value, trade(9))
    assert refused, "nothing was refused"
    for letter in refused:
        assert isinstance(letter, DeadLetter)
        assert (letter.topic, letter.partition, letter.offset) == (TRADES.name, 3, 1)
        assert reason in letter.reason
    drained = logic.drain()
    assert {record.market for record in drained} == {"kraken:BTC-USD"}
    assert {c.trades for record in drained for c in record.candles} == {2}
    recovery = Recovery()
    for key, entry in logic.checkpoint():
        recovery.on_entry(key, entry)
    assert [offset for _, offset in recovery.markets(Rules())] == [2]


def test_a_trade_from_the_future_does_not_move_the_watermark():
    logic = new()
    send(logic, trade(1), trade(2, time_ms=NOW_MS + 3_600_000), trade(3, time_ms=NOW_MS + 1))
    statuses = {c.status for batch in logic.drain() for c in batch.candles}
    assert statuses == {"open"}


def test_a_trade_whose_candle_is_final_is_late_with_its_lateness():
    logic = new()
    send(logic, trade(1))
    [late] = send(logic, trade(2, time_ms=NOW_MS - 2 * DAY_MS), offset=1)
    assert isinstance(late, Late)
    assert late.late_by_ms == 2 * DAY_MS - 2_000
    assert (late.topic, late.partition, late.offset) == (TRADES.name, 3, 1)


def test_a_message_delivered_again_after_recovery_changes_nothing():
    logic = new()
    send(logic, trade(1), trade(2))
    recovery = Recovery()
    for key, value in logic.checkpoint():
        recovery.on_entry(key, value)
    again = PartitionLogic(Rules(), recovery)
    assert send(again, trade(1), trade(2)) == []
    assert again.drain() == []
    assert again.generation == logic.generation + 1


def test_a_stale_owners_record_does_not_win():
    logic = new()
    send(logic, trade(1))
    stale = list(logic.checkpoint())
    recovery = Recovery()
    recovery.on_entry(*owner(1))
    successor = PartitionLogic(Rules(), recovery)
    send(successor, trade(1), trade(2), trade(3))
    recovery = Recovery()
    for key, value in [*successor.checkpoint(), *stale]:
        recovery.on_entry(key, value)
    third = PartitionLogic(Rules(), recovery)
    send(third, trade(4), offset=3)
    assert counted(third) == 4


def test_generations_rise_even_when_the_changelog_is_lost():
    assert PartitionLogic(Rules(), Recovery(), 1_700_000_000).generation == 1_700_000_000
    recovery = Recovery()
    recovery.on_entry(*owner(1_700_000_000))
    assert PartitionLogic(Rules(), recovery, 1_600_000_000).generation == 1_700_000_001


def test_offsets_start_over_when_the_topic_was_made_anew():
    logic = new()
    send(logic, trade(1), trade(2), trade(3))
    recovery = Recovery()
    for key, value in logic.checkpoint():
        recovery.on_entry(key, value)
    again = PartitionLogic(Rules(), recovery)
    assert again.applied == 2
    again.restart()
    send(again, trade(3), trade(4))
    assert counted(again) == 4, "known trades still count once"
