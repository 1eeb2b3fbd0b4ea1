"""A shard sends results, then its changelog, and acknowledges last; each under the right key."""

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import msgspec
import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from chaintide.agents.app import FaustWorker
from chaintide.agents.book import LEVELS, Rules
from chaintide.agents.changelog import Recovery
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.agents.shard import MAX_CANDLES, Shard
from chaintide.streams.records import CandleBatch
from chaintide.streams.topics import CANDLE_STATE, CANDLES, DEAD_LETTERS, LATE

NOW_MS = 1_762_795_440_000
MINUTE_US = 60_000_000
MARKET = "kraken:BTC-USD"


@dataclass
class Kafka:
    """What a producer was given, in order; ``acked`` counts what was acknowledged by then."""

    sent: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    acked: int = 0
    fault: Exception | None = None

    async def send(self, topic, value, *, key, partition):
        assert partition == 3
        assert self.acked == 0, "something was acknowledged before everything was sent"
        done = asyncio.get_running_loop().create_future()
        if self.fault is None:
            self.sent.append((topic, key, value))
            done.set_result(None)
        else:
            done.set_exception(self.fault)
        return done

    def ack(self) -> bool:
        self.acked += 1
        return True

    def keys(self, topic) -> list[bytes]:
        return [key for name, key, _ in self.sent if name == topic.name]

    def batches(self) -> list[CandleBatch]:
        values = [value for name, _, value in self.sent if name == CANDLES.name]
        return [msgspec.json.decode(value, type=CandleBatch) for value in values]


def trade(n: int, time_us: int, **changes: object) -> bytes:
    fields = {"market": MARKET, "trade_id": n, "time_us": time_us, "price": "5", "size": "1"}
    return json.dumps(fields | changes).encode()


def shard_with(kafka: Kafka, *values: bytes, key: bytes = b"", rules: Rules | None = None) -> Shard:
    shard = Shard(3, PartitionLogic(rules or Rules(), Recovery()), kafka)
    for offset, value in enumerate(values):
        shard.apply(Input(3, offset, NOW_MS, key, value), kafka)
    return shard


async def test_more_candles_than_a_message_holds_leave_as_several_and_none_is_lost():
    kafka, minutes = Kafka(), 2 * MAX_CANDLES + 500
    start_us = NOW_MS * 1000 - minutes * MINUTE_US
    values = [trade(n, start_us + n * MINUTE_US) for n in range(minutes)]
    gap = {"type": "gap", "market": MARKET, "from_us": start_us, "to_us": start_us + 1}
    values.append(json.dumps(gap | {"reason": "down"}).encode())
    month = Rules(horizon_us=30 * 86_400_000_000)
    shard = shard_with(kafka, *values, rules=month)
    await shard.flush()
    assert kafka.acked == len(values)
    batches = kafka.batches()
    assert len(batches) >= 3
    assert all(0 < len(batch.candles) <= MAX_CANDLES for batch in batches)
    assert [len(batch.gaps) for batch in batches] == [1] + [0] * (len(batches) - 1)
    assert {(b.market, b.generation, b.offset) for b in batches} == {(MARKET, 1, minutes)}
    assert kafka.keys(CANDLES) == [MARKET.encode()] * len(batches)
    candles = [candle for batch in batches for candle in batch.candles]
    clean = PartitionLogic(month, Recovery())
    for offset, value in enumerate(values):
        clean.on_input(Input(3, offset, NOW_MS, b"", value))
    assert candles == [candle for batch in clean.drain() for candle in batch.candles]
    assert sum(candle.trades for candle in candles if candle.interval == "1m") == minutes


async def test_a_batch_that_just_fits_is_one_message():
    kafka = Kafka()
    shard = shard_with(kafka, trade(1, NOW_MS * 1000))
    await shard.flush()
    [batch] = kafka.batches()
    assert len(batch.candles) == 7


async def test_results_go_out_before_the_changelog_that_says_they_are_applied():
    kafka = Kafka()
    shard = shard_with(kafka, trade(1, NOW_MS * 1000), b"{broken")
    await shard.flush()
    names = [name for name, _, _ in kafka.sent]
    assert names == [DEAD_LETTERS.name, CANDLES.name, CANDLE_STATE.name]
    assert kafka.acked == 2
    await shard.flush()
    assert len(kafka.sent) == 3, "nothing new, nothing sent"


async def test_after_a_failed_flush_nothing_is_written_or_acknowledged_any_more():
    kafka = Kafka()
    shard = shard_with(kafka, trade(1, NOW_MS * 1000))
    kafka.fault = ConnectionError("gone")
    with pytest.raises(ConnectionError):
        await shard.flush()
    kafka.fault = None
    shard.apply(Input(3, 1, NOW_MS, b"", trade(2, NOW_MS * 1000, market="kraken:ETH-USD")), kafka)
    await shard.release()
    assert kafka.acked == 0, "what comes after a hole must be read again"
    assert CANDLE_STATE.name not in [name for name, _, _ in kafka.sent]


async def test_what_was_applied_in_part_is_neither_written_nor_acknowledged():
    kafka = Kafka()
    shard = shard_with(kafka, trade(1, NOW_MS * 1000))
    shard.out.abandon()
    await shard.emit(LEVELS)
    await shard.release()
    assert (kafka.sent, kafka.acked) == ([], 0)


async def test_an_error_amid_a_message_of_many_records_acknowledges_none_of_them():
    class Poisoned(PartitionLogic):
        def on_input(self, message):
            if message.offset == 2:
                raise ArithmeticError("poison")
            return super().on_input(message)

    kafka = Kafka()
    shard = Shard(3, Poisoned(Rules(), Recovery()), kafka)
    place = TP("chaintide.trades.v1", 3)
    records = [
        ConsumerRecord(*place, n, NOW_MS, 0, None, trade(n, NOW_MS * 1000), None, 0, 9, ())
        for n in range(4)
    ]
    message = SimpleNamespace(topic=place.topic, partition=3, value=records)
    worker = object.__new__(FaustWorker)
    worker.shards = {place: shard}
    with pytest.raises(ArithmeticError):
        await worker._on_event(SimpleNamespace(message=message, value=records, ack=kafka.ack))
    await shard.release()
    assert (kafka.sent, kafka.acked) == ([], 0)


async def test_late_trades_have_the_key_of_their_market_and_dead_letters_that_of_their_record():
    kafka = Kafka()
    long_ago = trade(2, NOW_MS * 1000 - 2 * 86_400_000_000)
    shard = shard_with(kafka, trade(1, NOW_MS * 1000), long_ago, b"{broken", key=b"desk-7")
    await shard.flush()
    assert LATE.key == "market"
    assert kafka.keys(LATE) == [MARKET.encode()]
    assert DEAD_LETTERS.key == "key of the record"
    assert kafka.keys(DEAD_LETTERS) == [b"desk-7"]


async def test_a_dead_letter_of_a_record_without_a_key_has_an_empty_one():
    kafka = Kafka()
    await shard_with(kafka, b"{broken").flush()
    assert kafka.keys(DEAD_LETTERS) == [b""]


async def test_a_dead_letter_of_a_huge_record_fits_into_a_message():
    kafka = Kafka()
    await shard_with(kafka, b"\xff" * (8 << 20), key=b"\xff" * (8 << 20)).flush()
    [(_, key, value)] = kafka.sent[:1]
    assert len(key) + len(value) < 2 << 20


async def test_emitting_neither_writes_state_nor_acknowledges():
    kafka = Kafka()
    shard = shard_with(kafka, trade(1, NOW_MS * 1000))
    await shard.emit(LEVELS)
    assert [name for name, _, _ in kafka.sent] == [CANDLES.name]
    assert kafka.acked == 0
    await shard.flush()
    assert [name for name, _, _ in kafka.sent] == [CANDLES.name, CANDLE_STATE.name]
    assert kafka.acked == 1


async def test_longer_intervals_may_wait_but_are_sent_before_anything_is_acknowledged():
    kafka = Kafka()
    shard = shard_with(kafka, trade(1, NOW_MS * 1000))
    await shard.emit(LEVELS[:1])
    await shard.emit(LEVELS[:1])
    [shortest] = kafka.batches()
    assert [candle.interval for candle in shortest.candles] == ["1m"]
    await shard.flush()
    [_, others] = kafka.batches()
    assert len(others.candles) == 6
