"""What factories made is followed from its first log on, whoever takes the chain over and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from chains import AMM, CHAIN, FACTORY, KINDS, RULES, FakeChain, new_pools, new_watch, raw_log
from integration.test_chain_ingest import MemoryLedger, is_at_head
from rpc_mock import MockNode

from chaintide.streams.chain import blocklog, past
from chaintide.streams.chain.blocks import RawLog
from chaintide.streams.chain.ingest import ChainFeed
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import ChainLog, Owner, Summary
from chaintide.streams.chain.rpc import Rpc
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.watch import Factory, Named, Watch
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import Undo
from chaintide.streams.topics import BLOCKS


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


def kept(ledger: MemoryLedger) -> list[ChainLog]:
    """The logs that were written and not undone, in the order in which they were."""
    logs: list[ChainLog] = []
    for out in ledger.written:
        match out.record:
            case ChainLog():
                logs.append(out.record)
            case Undo(to_number=to_number) if out.topic is BLOCKS:
                logs = [log for log in logs if log.number <= to_number]
            case _:
                pass
    return logs


def written(ledger: MemoryLedger) -> list[tuple[int, int]]:
    """The transfers that were written, each as often as it was."""
    return sorted((log.number, log.log_index) for log in kept(ledger) if log.event == "Transfer")


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


class Repeating(Family):
    """A chain whose factory tells of an older token again now and then."""

    def _created(self, place: tuple[str, int, int, int]) -> RawLog:
        told = super()._created(place)
        older = [
            log
            for block in self.blocks
            for log in block.logs
            if log.topics[0] in KINDS["factory"].events.topics
        ]
        again = older and self.random.random() < 0.5
        return (
            raw_log(place, FACTORY, self.random.choice(older).topics, told.data) if again else told
        )


def repeating(blocks: int) -> Repeating:
    chain = Repeating(Random(5))
    chain.grow(blocks)
    return chain


def since_birth(chain: Family, first: int) -> list[tuple[int, int]]:
    """The transfers of tokens that the factory told of from block ``first`` on, from there on."""
    births: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for block in chain.blocks:
        number = block.header.number
        for log in block.logs:
            if log.address == FACTORY and number >= first:
                births.setdefault("0x" + log.topics[1][-40:], number)
        for log in block.logs:
            [topic] = KINDS["token"].events.topics
            if log.topics[0] == topic and log.address in births:
                found.append((number, log.index))
    return found


def in_order(ledger: MemoryLedger) -> bool:
    """Return whether each contract's logs were written in the order of its chain."""
    places: dict[str, list[tuple[int, int]]] = {}
    for log in kept(ledger):
        places.setdefault(log.address, []).append((log.number, log.log_index))
    return all(mine == sorted(mine) for mine in places.values())


@pytest.mark.parametrize(
    "starts", [(100, 0), (200, 120, 0), (100, 200, 0), (0, 150, 0), (50, 900, 0)]
)
async def test_a_factory_that_begins_elsewhere_has_all_logs_of_its_children_once(
    starts, monkeypatch
):
    monkeypatch.setattr(past, "FIRST_SIZE", 16)
    chain, ledger = repeating(300), MemoryLedger()
    async with MockNode(chain) as node:
        for turn, start in enumerate(starts):
            await follow(node, ledger.reader(), watching(start), f"{turn}")
            chain.grow(30)
            if turn == 0:
                assert written(ledger) == [p for p in since_birth(chain, start) if p[0] <= 300]
        await follow(node, ledger.reader(), watching(0), "last")
    assert len(since_birth(chain, 0)) > len(since_birth(chain, 100)) > 20
    assert written(ledger) == since_birth(chain, 0)


async def test_a_lowered_start_that_broke_off_anywhere_is_gone_on_with(monkeypatch):
    monkeypatch.setattr(past, "FIRST_SIZE", 16)
    chain, ledger = repeating(300), MemoryLedger()
    async with MockNode(chain) as node:
        await follow(node, ledger, watching(150), "one")
        for last in (70, 149, 200, 260):
            async with feed_of(node, ledger.reader(), watching(0), f"{last}") as (feed, takeover):
                await feed.take_over(takeover)
                await feed.fill(FACTORY, Range(0, last), lambda _: None)
        chain.grow(80)
        await follow(node, ledger.reader(), watching(0), "last")
    assert written(ledger) == since_birth(chain, 0)


async def test_a_sync_of_one_contract_writes_the_past_of_what_factories_made_before_it_goes_on():
    chain, ledger = family(300), MemoryLedger()
    async with MockNode(chain) as node:
        await follow(node, ledger, watching(), "one")
        chain.grow(100)
        async with feed_of(node, ledger.reader(), new_watch(), "sync") as (feed, takeover):
            await feed.take_over(takeover)
            ahead = feed.ahead(await feed.final_number())
            assert ahead is not None
            await feed.go_on(ahead, lambda _: None)
        await follow(node, ledger.reader(), new_watch(), "three")
    assert written(ledger) == chain.transfers()
    assert in_order(ledger)


def watching_another(*factories: Factory) -> Watch:
    """Watch the market, and a contract that logs as the factory does and makes ``factories``."""
    kinds = KINDS | {"another": replace(KINDS["factory"], factories=factories)}
    return Watch(CHAIN, kinds, {AMM: Named("amm"), FACTORY: Named("another")})


async def test_a_contract_that_becomes_a_factory_brings_the_history_of_its_children():
    chain, ledger = family(300), MemoryLedger()
    async with MockNode(chain) as node:
        await follow(node, ledger, watching_another(), "one")
        assert written(ledger) == []
        chain.grow(3)
        await follow(node, ledger.reader(), new_watch(), "two")
    assert written(ledger) == chain.transfers()
    assert in_order(ledger)
    assert len(kept(ledger)) == len({(log.block_hash, log.log_index) for log in kept(ledger)})


class Hiding(MockNode):
    """A node that leaves out of ranges whatever makes contracts."""

    def _eth_getLogs(self, wanted: dict[str, Any]) -> Any:  # noqa: N802
        told = super()._eth_getLogs(wanted)
        if "blockHash" in wanted:
            return told
        return [log for log in told if log["address"] != FACTORY]


async def test_what_a_new_factory_made_is_proven():
    chain, ledger = family(300), MemoryLedger()
    async with MockNode(chain) as node, Hiding(chain) as hiding:
        await follow(node, ledger, watching_another(), "one")
        chain.grow(3)
        await follow(hiding, ledger.reader(), new_watch(), "two")
    assert written(ledger) == chain.transfers()


async def test_a_factory_that_was_none_for_a_while_brings_what_its_children_logged_meanwhile():
    chain, ledger = family(300), MemoryLedger()
    async with MockNode(chain) as node:
        for turn, watch in enumerate([new_watch(), watching_another(), new_watch()]):
            await follow(node, ledger.reader(), watch, f"{turn}")
            chain.grow(100)
        await follow(node, ledger.reader(), new_watch(), "last")
    assert written(ledger) == chain.transfers()
    assert in_order(ledger)


async def test_a_factory_that_finds_other_contracts_than_before_has_all_logs_of_these():
    """What it found in the old way is found in the new one again, and what that logged is kept."""
    chain, ledger = family(300), MemoryLedger()
    [old] = KINDS["factory"].factories
    async with MockNode(chain) as node:
        await follow(
            node, ledger, watching_another(Factory("TokenCreated", "note", "token")), "one"
        )
        assert written(ledger) == []
        chain.grow(100)
        await follow(node, ledger.reader(), watching_another(old), "two")
    assert written(ledger) == chain.transfers()


def forget(ledger: MemoryLedger) -> None:
    """Lose what is older than the last summary, as Kafka deletes it."""
    last = max(n for n, record in enumerate(ledger.log) if isinstance(record, Summary))
    del ledger.log[:last]


async def test_a_block_log_whose_older_records_are_gone_is_gone_on_with(monkeypatch):
    monkeypatch.setattr(past, "FIRST_SIZE", 16)
    monkeypatch.setattr(blocklog, "SUMMARY_MS", 0)
    chain, ledger, epochs = repeating(300), MemoryLedger(), []
    async with MockNode(chain) as node:
        for turn, start in enumerate([200, 100, 100, 0, 0]):
            await follow(node, ledger.reader(), watching(start), f"{turn}")
            epochs.append(max(record.epoch for record in ledger.log))
            forget(ledger)
            assert not any(isinstance(record, Owner) for record in ledger.log)
            chain.grow(7)
        await follow(node, ledger.reader(), watching(0), "last")
    assert written(ledger) == since_birth(chain, 0)
    assert epochs == [1, 2, 3, 4, 5]
