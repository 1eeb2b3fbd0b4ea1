import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest

from chaintide.streams import codec
from chaintide.streams.batches import batch_of
from chaintide.streams.errors import FatalError
from chaintide.streams.feeds.adapter import VenueTrade
from chaintide.streams.feeds.outbox import MAX_UNSENT, KafkaOutbox
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import DeadLetter, Gap, Heartbeat, Market, TradeBatch

BTC = Market("kraken:BTC-USD")
ETH = Market("kraken:ETH-USD")


def trade(trade_id: int, price: tuple[int, int] = (1, 0)) -> VenueTrade:
    return VenueTrade(
        symbol="BTC/USD", id=trade_id, time_us=trade_id, price=price, size=(5, 1), side="s"
    )


@dataclass
class Broker:
    """What a producer has taken; it acknowledges when told to."""

    messages: list = field(default_factory=list)
    waiting: list = field(default_factory=list)
    is_slow: bool = False

    async def send(self, topic, value, *, key, partition):
        self.messages.append((topic, key, partition, value))
        sent = asyncio.get_running_loop().create_future()
        if self.is_slow:
            self.waiting.append(sent)
        else:
            sent.set_result(None)
        return sent

    async def flush(self):
        pass

    def batches(self, market=BTC):
        decoded = [codec.decode_trades(value) for topic, _, _, value in self.messages]
        return [m for m in decoded if isinstance(m, TradeBatch) and m.market == market]


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
async def outbox(broker):
    outbox = KafkaOutbox(broker, 12, lambda: 77)
    task = asyncio.create_task(outbox.run())
    yield outbox
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def test_a_batch_has_common_scales_and_keeps_the_order():
    batch = batch_of(BTC, [trade(2, (15, 1)), trade(1)], now_ms=77)
    assert (batch.ids, batch.prices, batch.price_scale) == ([2, 1], [15, 10], 1)
    assert (batch.sizes, batch.size_scale, batch.sides) == ([5, 5], 1, "ss")
    assert batch.ingest_time_ms == 77
    codec.check(batch)


async def test_trades_of_twenty_milliseconds_share_a_message(outbox, broker):
    await outbox.put(BTC, [trade(1)])
    await outbox.put(ETH, [trade(1)])
    await outbox.put(BTC, [trade(2)])
    assert broker.messages == []
    async with asyncio.timeout(60):
        while len(broker.messages) < 2:  # noqa: ASYNC110  a list tells nobody
            await asyncio.sleep(0.01)
    assert [batch.ids for batch in broker.batches()] == [[1, 2]]
    assert {(key, partition) for _, key, partition, _ in broker.messages} == {
        (BTC.encode(), partition_of(BTC, 12)),
        (ETH.encode(), partition_of(ETH, 12)),
    }


async def test_five_hundred_trades_are_written_at_once_and_never_more(outbox, broker):
    await outbox.put(BTC, [trade(i) for i in range(1200)])
    assert [len(batch) for batch in broker.batches()] == [500, 500, 200]
    assert [i for batch in broker.batches() for i in batch.ids] == list(range(1200))


async def test_a_slow_broker_makes_put_wait_and_nothing_is_dropped(outbox, broker):
    broker.is_slow = True
    put = asyncio.create_task(outbox.put(BTC, [trade(i) for i in range(MAX_UNSENT)]))
    await asyncio.sleep(0.05)
    assert not put.done()
    for sent in broker.waiting:
        sent.set_result(None)
    await asyncio.wait_for(put, 60)
    assert sum(len(batch) for batch in broker.batches()) == MAX_UNSENT


async def test_a_refused_write_ends_the_outbox(outbox, broker):
    broker.is_slow = True
    put = asyncio.create_task(outbox.put(BTC, [trade(i) for i in range(MAX_UNSENT)]))
    await asyncio.sleep(0.01)
    broker.waiting[0].set_exception(OSError("disk full"))
    with pytest.raises(FatalError, match="disk full"):
        await asyncio.wait_for(put, 60)
    with pytest.raises(FatalError):
        await outbox.send(Heartbeat(venue="kraken", time_us=1))


async def test_a_heartbeat_follows_the_trades_into_every_partition(outbox, broker):
    await outbox.put(BTC, [trade(1)])
    await outbox.send(Heartbeat(venue="kraken", time_us=1))
    assert len(broker.batches()) == 1
    assert [partition for _, _, partition, _ in broker.messages[1:]] == list(range(12))


async def test_a_gap_and_a_promise_for_one_market_go_where_it_lives(outbox, broker):
    await outbox.send(Gap(market=BTC, from_us=1, to_us=2, reason="r"))
    await outbox.send(Heartbeat(venue="kraken", time_us=1, market=BTC))
    assert [partition for _, _, partition, _ in broker.messages] == [partition_of(BTC, 12)] * 2
    assert broker.messages[0][1] == BTC.encode()


async def test_a_dead_letter_goes_to_its_own_topic(outbox, broker):
    letter = DeadLetter(
        topic="venue:kraken", partition=-1, offset=0, reason="r", key="venue:kraken", value="x"
    )
    await outbox.send(letter)
    ((topic, key, partition, value),) = broker.messages
    assert (topic, key, partition) == ("chaintide.dead-letters.v1", b"venue:kraken", None)
    assert msgspec.json.decode(value, type=DeadLetter) == letter


async def test_stopping_writes_what_is_left(broker):
    outbox = KafkaOutbox(broker, 12, lambda: 77)
    task = asyncio.create_task(outbox.run())
    await asyncio.sleep(0)
    await outbox.put(BTC, [trade(1)])
    task.cancel()
    await asyncio.wait({task})
    assert [batch.ids for batch in broker.batches()] == [[1]]
