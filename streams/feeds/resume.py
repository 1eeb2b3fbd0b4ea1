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

CHUNK: Final = 5_000
LOOK_BACK_MS: Final = 86_400_000
_WAIT_MS: Final = 500


async def read_marks(
    kafka_options: dict[str, Any], markets: Iterable[Market], partitions: int
) -> dict[Market, Mark]:
    """Return the last trade of each market, looked for backwards from the end of its partition.

    A market that did not trade in the day before its partition's last message has no mark: its
    candles are final, and it starts anew with the next trade.
    """
    wanted = set(markets)
    marks: dict[Market, Mark] = {}
    consumer = AIOKafkaConsumer(**kafka_options, enable_auto_commit=False)
    await consumer.start()
    try:
        for partition in sorted({partition_of(market, partitions) for market in wanted}):
            residents = {m for m in wanted if partition_of(m, partitions) == partition}
            marks |= await _search(consumer, TopicPartition(TRADES.name, partition), residents)
    finally:
        await consumer.stop()
    return marks


async def _search(
    consumer: AIOKafkaConsumer, partition: TopicPartition, wanted: set[Market]
) -> dict[Market, Mark]:
    """Read ever earlier chunks until every market is found or a day has been searched."""
    consumer.assign([partition])
    begin = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    found: dict[Market, Mark] = {}
    newest_ms = None
    while end > begin and not wanted <= found.keys():
        start = max(begin, end - CHUNK)
        marks: dict[Market, Mark] = {}
        first_ms, last_ms = await _read(consumer, partition, range(start, end), marks)
        found = {**{m: mark for m, mark in marks.items() if m in wanted}, **found}
        newest_ms = last_ms if newest_ms is None else newest_ms
        if first_ms < newest_ms - LOOK_BACK_MS:
            break
        end = start
    return found


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, span: range, marks: dict[Market, Mark]
) -> tuple[int, int]:
    """Note every message of ``span`` and return the times of its first and last one."""
    consumer.seek(partition, span.start)
    times_ms: list[int] = []
    while await consumer.position(partition) < span.stop:
        records = await consumer.getmany(partition, timeout_ms=_WAIT_MS)
        for record in records.get(partition, []):
            if record.offset < span.stop:
                times_ms.append(record.timestamp)
                note_message(marks, record.value or b"")
    return (times_ms[0], times_ms[-1]) if times_ms else (0, 0)


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
