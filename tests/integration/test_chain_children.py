"""What factories made is followed from its first log on, whoever takes the chain over and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from chains import AMM, CHAIN, FACTORY, KINDS, RULES, FakeChain, new_pools, new_watch, raw_log
from integration.test_chain_ingest import MemoryLedger, is_at_head
from rpc_mock import MockNode

from chaintide.streams.chain.blocks import RawLog
from chaintide.streams.chain.ingest import ChainFeed
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import ChainLog
from chaintide.streams.chain.rpc import Rpc
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.watch import Named, Watch
from chaintide.streams.feeds.status import FeedStatus


class Family(FakeChain):
    """A chain whose tokens are transferred after they were made."""

    def _other(self, place: tuple[str, int, int, int]) -> RawLog:
        tokens = [
            "0x" + log.topics[1][-40:]
            for block in self.blocks
            for log in block.logs
            if log.topics[0] in KINDS["factory"].events.topics
        ]
        if not tokens:
            return super()._other(place)
        [topic] = KINDS["token"].events.topics
        who = "0x" + "00" * 12 + "01" * 20
        return raw_log(place, self.random.choice(tokens), [topic, who, who], "0x" + "00" * 32)

    def transfers(self) -> list[tuple[int, int]]:
        [topic] = KINDS["token"].events.topics
        return [
            (block.header.number, log.index)
            for block in self.blocks
            for log in block.logs
            if log.topics[0] == topic
        ]


def family(blocks: int) -> Family:
    chain = Family(Random(3))
    chain.grow(blocks)
    return chain


def written(ledger: MemoryLedger) -> list[tuple[int, int]]:
    """The transfers that were written, each as often as it was."""
    logs = [out.record for out in ledger.written if isinstance(out.record, ChainLog)]
    return sorted((log.number, log.log_index) for log in logs if log.event == "Transfer")


def watching(factory_from: int | None = None) -> Watch:
    """Watch the market, and the factory if it is said from which block on."""
    named = {AMM: Named("amm")}
    if factory_from is not None:
        named[FACTORY] = Named("factory", factory_from)
    return Watch(CHAIN, KINDS, named)


@asynccontextmanager
async def feed_of(
    node: MockNode, ledger: MemoryLedger, watch: Watch, writer: str
) -> AsyncIterator[tuple[ChainFeed, Takeover]]:
    loop = asyncio.get_running_loop()

    def now_ms() -> int:
        return int(loop.time() * 1000)

    rpc = Rpc([node.url], RULES.chain_id, now_ms)
    publishing = Publishing(watch, new_pools(), 1)
    status = FeedStatus(CHAIN, [])
    feed = ChainFeed(Node(rpc, RULES), publishing, ledger, status, now_ms, poll_s=0.01)
    try:
        yield feed, Takeover(RULES, publishing, writer)
    finally:
        await feed.close()
        await rpc.close()


async def follow(node: MockNode, ledger: MemoryLedger, watch: Watch, writer: str) -> None:
    """Follow the chain to its head, and end."""
    async with feed_of(node, ledger, watch, writer) as (feed, takeover):
        task = asyncio.create_task(feed.run(takeover))
        await ledger.until(is_at_head(node.chain, ledger))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_sync_writes_what_older_children_log_in_the_blocks_it_applies():
    chain, ledger = family(100), MemoryLedger()
    async with MockNode(chain) as node:
        await follow(node, ledger, new_watch(), "one")
        chain.grow(200)
        async with feed_of(node, ledger.reader(), new_watch(), "sync") as (feed, takeover):
            await feed.take_over(takeover)
            last = await feed.final_number()
            ahead = feed.ahead(last)
            assert ahead is not None
            await feed.fill(AMM, Range(0, last), lambda _: None)
            await feed.go_on(ahead, lambda _: None)
            await feed.release()
        await follow(node, ledger.reader(), new_watch(), "three")
    assert len(chain.transfers()) > 20
    assert written(ledger) == chain.transfers()


async def test_a_factory_that_is_added_later_brings_the_history_of_its_children():
    chain, ledger = family(300), MemoryLedger()
    async with MockNode(chain) as node:
        await follow(node, ledger, watching(), "one")
        assert written(ledger) == []
        chain.grow(3)
        await follow(node, ledger.reader(), new_watch(), "two")
    assert written(ledger) == chain.transfers()


async def test_a_fill_that_broke_off_goes_on_with_the_children_it_had_found():
    chain, ledger = family(300), MemoryLedger()
    async with MockNode(chain) as node:
        await follow(node, ledger, watching(), "one")
        async with feed_of(node, ledger.reader(), new_watch(), "two") as (feed, takeover):
            await feed.take_over(takeover)
            await feed.fill(FACTORY, Range(0, 150), lambda _: None)
        await follow(node, ledger.reader(), new_watch(), "three")
    assert written(ledger) == chain.transfers()
