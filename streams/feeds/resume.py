"""Where the feeds stopped, read back from the end of the trades topic."""

from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from chaintide.streams import codec
from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds.adapter import Mark
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Market, TradeBatch
from chaintide.streams.topics import TRADES

MAX_MESSAGES: Final = 20_000
_WAIT_MS: Final = 500


async def read_marks(
    kafka_options: dict[str, Any], markets: Iterable[Market], partitions: int
) -> dict[Market, Mark]:
    """Return the last trade of each market within the last 20,000 messages of its partition.

    A market that is not there has no mark: it starts anew, with the next trade.
    """
    wanted = set(markets)
    marks: dict[Market, Mark] = {}
    consumer = AIOKafkaConsumer(**kafka_options, enable_auto_commit=False)
    await consumer.start()
    try:
        for partition in sorted({partition_of(market, partitions) for market in wanted}):
            await _read_tail(consumer, TopicPartition(TRADES.name, partition), marks)
    finally:
        await consumer.stop()
    return {market: mark for market, mark in marks.items() if market in wanted}


async def _read_tail(
    consumer: AIOKafkaConsumer, partition: TopicPartition, marks: dict[Market, Mark]
) -> None:
    consumer.assign([partition])
    begin = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    consumer.seek(partition, max(begin, end - MAX_MESSAGES))
    while await consumer.position(partition) < end:
        records = await consumer.getmany(partition, timeout_ms=_WAIT_MS)
        for record in records.get(partition, []):
            note_message(marks, record.value)


def note_message(marks: dict[Market, Mark], value: bytes) -> None:
    """Move the mark of a market forward to the newest trade in one message of the topic."""
    try:
        message = codec.decode_trades(value)
    except BadRecordError:
        return
    if isinstance(message, TradeBatch):
        newest = max(range(len(message)), key=message.ids.__getitem__)
        mark = Mark(message.ids[newest], message.times_us[newest])
        known = marks.get(message.market)
        if known is None or known.id < mark.id:
            marks[message.market] = mark
