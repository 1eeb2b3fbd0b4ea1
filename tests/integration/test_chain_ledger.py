"""A chain in Kafka: what is written is read back, by whoever takes the chain over."""

import asyncio
from random import Random

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from chains import CHAIN, KINDS, RULES, FakeChain, new_pools, new_watch
from msgspec.structs import replace

from chaintide.streams import codec
from chaintide.streams.admin import ensure_topics
from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.ledger import Ledger, ledger
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.steps import Apply, Retreat
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.watch import Watch
from chaintide.streams.chain.window import MAX_BLOCKS, Seen
from chaintide.streams.records import Heartbeat, TradeBatch, Undo
from chaintide.streams.topics import TRADES

pytestmark = pytest.mark.broker
PARTITIONS = 3


async def take_over(book: Ledger, writer: str) -> tuple[Publishing, BlockLog]:
    publishing, log = Publishing(new_watch(), new_pools(), PARTITIONS), BlockLog()
    takeover = Takeover(RULES, publishing, writer)
    for record in await book.read():
        log.on_record(record)
    while (plan := takeover.advance(log)) is not None:
        await book.write(plan)
        for record in await book.read():
            log.on_record(record)
    return publishing, log


async def test_a_follower_goes_on_where_another_ended(kafka):
    await ensure_topics(kafka, PARTITIONS)
    chain = FakeChain(Random(3))
    chain.grow(20)
    home = Publishing(new_watch(), new_pools(), PARTITIONS).home
    async with ledger(kafka, CHAIN, home) as book:
        publishing, log = await take_over(book, "one")
        assert (publishing.epoch, log.window.last) == (1, None)
        for block in chain.blocks:
            await book.write(publishing.plan(Apply(block.header, block.logs)))
        await book.write(publishing.plan(Retreat(15)))
    async with ledger(kafka, CHAIN, home) as book, ledger(kafka, "other", home) as stranger:
        assert await stranger.read() == [], "another chain may share the partition"
        publishing, log = await take_over(book, "two")
        assert publishing.epoch == 2
        assert [s.hash for s in log.window] == [b.header.hash for b in chain.blocks[:16]]
        assert await book.read() == []
    await _check_trades(kafka, chain)


async def test_the_longest_summary_is_read_back_by_whoever_takes_over(kafka):
    await ensure_topics(kafka, PARTITIONS)
    publishing = Publishing(Watch("longest", KINDS, {}), new_pools(), PARTITIONS, epoch=4)
    log = BlockLog()
    log.window.replace(
        [
            Seen(number=n, hash=f"0x{n:064x}", parent_hash=f"0x{n - 1:064x}", time_ms=10**12 + n)
            for n in range(10**9, 10**9 + MAX_BLOCKS)
        ],
        10**9,
    )
    summary = replace(log.summary("longest", {}, now_ms=10**12), epoch=4, writer="one")
    assert len(codec.encode(summary)) > 4_000_000
    async with ledger(kafka, "longest", publishing.home) as book:
        await book.write(publishing.noting(summary))
        assert await book.read() == [summary]
    again = BlockLog()
    again.on_record(summary)
    assert [*again.window] == [*log.window]
    assert again.is_owned_by(4, "one")


async def _check_trades(kafka, chain: FakeChain) -> None:
    """Every partition has every undo and heartbeat, and the trades are in the home of each."""
    async with AIOKafkaConsumer(**kafka.client_options()) as consumer:
        places = [TopicPartition(TRADES.name, p) for p in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        found: dict[int, list[object]] = {p: [] for p in range(PARTITIONS)}
        async with asyncio.timeout(60):
            while [p for p in places if await consumer.position(p) < ends[p]]:
                for place, records in (await consumer.getmany(timeout_ms=500)).items():
                    found[place.partition] += [codec.decode_trades(r.value) for r in records]
    for records in found.values():
        assert [r.to_number for r in records if isinstance(r, Undo)] == [-1, 15, 15]
        assert sum(isinstance(r, Heartbeat) for r in records) == len(chain.blocks)
    batches = [r for records in found.values() for r in records if isinstance(r, TradeBatch)]
    told = sorted((batch.market, n) for batch in batches for n in batch.ids)
    assert told == sorted((m, t.id) for m, trades in chain.trades().items() for t in trades)
