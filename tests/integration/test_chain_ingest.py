"""A chain is followed over HTTP from nodes that fail in every way: each is tolerated or found."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from random import Random

import chains
import msgspec
import pytest
from aiohttp import web
from chains import AMM, FACTORY, IDS, RULES, FakeChain, new_pools, new_watch
from msgspec.json import Decoder
from msgspec.structs import replace
from rpc_mock import FAULTS, USDC, MockNode, to_json

from chaintide.streams import codec
from chaintide.streams.chain import archive, ingest, window
from chaintide.streams.chain.archive import Archive
from chaintide.streams.chain.bloom import bloom_bits
from chaintide.streams.chain.endpoints import LACKING_MS
from chaintide.streams.chain.follower import MAX_REJECTS, ChainRules
from chaintide.streams.chain.ingest import ChainFeed
from chaintide.streams.chain.lease import Lease
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.past import FIRST_SIZE, Past
from chaintide.streams.chain.pools import OWN, Stranger
from chaintide.streams.chain.publishing import Outgoing, Plan, Publishing
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import (
    Alias,
    BlockEnd,
    BlockMessage,
    ChainLog,
    ChainMessage,
    Owner,
)
from chaintide.streams.chain.rpc import TIMEOUT_S, RestingError, Rpc, RpcError
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.tokens import Tokens
from chaintide.streams.errors import FatalError, HaltedError, ReplacedError, RetryableError
from chaintide.streams.feeds.breaker import Breaker
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import Final, TradeBatch, TradeInput, Undo
from chaintide.streams.topics import ALIASES, BLOCKS, CHAIN, TRADES

SILENCE_S = 0.3


READERS = {
    ALIASES: Decoder(Alias),
    BLOCKS: Decoder(BlockMessage),
    CHAIN: Decoder(ChainMessage),
    TRADES: Decoder(TradeInput),
}


def as_read(out: Outgoing) -> Outgoing:
    """Return what a reader of the topic gets."""
    return replace(out, record=READERS[out.topic].decode(codec.encode(out.record)))


class MemoryLedger:
    """Keeps what is written, and tells when a block is finished."""

    def __init__(self) -> None:
        self.log: list[BlockMessage] = []
        self.written: list[Outgoing] = []
        self.changed = asyncio.Condition()
        self._read = 0

    async def read(self) -> list[BlockMessage]:
        fresh, self._read = self.log[self._read :], len(self.log)
        return fresh

    async def write(self, plan: Plan) -> None:
        for phase in plan:
            told = [as_read(out) for out in phase]
            self.written += told
            self.log += [out.record for out in told if out.topic is BLOCKS]
        async with self.changed:
            self.changed.notify_all()

    def reader(self) -> "MemoryLedger":
        """The same log for another follower, from its beginning."""
        other = MemoryLedger()
        other.log, other.written, other.changed = self.log, self.written, self.changed
        return other

    async def until(self, wanted) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(wanted)

    def ends(self) -> dict[int, str]:
        ends: dict[int, str] = {}
        for record in self.log:
            if isinstance(record, Undo):
                ends = {n: h for n, h in ends.items() if n <= record.to_number}
            elif isinstance(record, BlockEnd):
                ends[record.number] = record.block_hash
        return ends

    def trades(self) -> dict[str, list[int]]:
        """The trade ids by market that a reader of partition after partition keeps."""
        kept: dict[str, list[tuple[int, int]]] = {}
        for out in self.written:
            match out.record:
                case Undo(to_number=to_number) if out.topic is TRADES and out.partition == 0:
                    for market, rows in kept.items():
                        kept[market] = [row for row in rows if row[0] <= to_number]
                case TradeBatch(market=market, block=int(block), ids=ids):
                    kept.setdefault(market, []).extend((block, n) for n in ids)
        return {market: [n for _, n in rows] for market, rows in kept.items() if rows}


class Tireless(Breaker):
    """Lets every call through, however many failed."""

    def on_failure(self, *, now_ms: int) -> None:
        """Do not count."""


@asynccontextmanager
async def following(
    nodes: Sequence[MockNode],
    ledger: MemoryLedger,
    *,
    rules: ChainRules = RULES,
    writer: str = "one",
) -> AsyncIterator[tuple[ChainFeed, "asyncio.Task[None]"]]:
    loop = asyncio.get_running_loop()
    urls = [node.url for node in nodes]
    is_silent = any(node.faults["time-out"] for node in nodes)
    timeout_s = SILENCE_S if is_silent else TIMEOUT_S
    rpc = Rpc(urls, rules.chain_id, lambda: int(loop.time() * 1000), timeout_s)
    if is_silent:  # as a busy machine is at times, which is no reason to leave its nodes alone
        for endpoint in rpc.endpoints.all:
            endpoint.breaker = Tireless()
    publishing = Publishing(new_watch(), new_pools(), 1)
    now_ms = lambda: int(loop.time() * 1000)  # noqa: E731
    status = FeedStatus(rules.chain, [])
    feed = ChainFeed(Node(rpc, rules), publishing, ledger, status, now_ms, poll_s=0.01)
    task = asyncio.create_task(feed.run(Takeover(rules, publishing, writer)))
    try:
        yield feed, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, FatalError):
            await task
        await rpc.close()


def grown(blocks: int = 30, seed: int = 7) -> FakeChain:
    chain = FakeChain(Random(seed))
    chain.grow(blocks)
    return chain


def is_at_head(chain: FakeChain, ledger: MemoryLedger):
    return lambda: ledger.ends().get(chain.head.number) == chain.head.hash


def check(chain: FakeChain, ledger: MemoryLedger) -> None:
    """All blocks are finished, and every trade of the canonical chain is there once."""
    expected = {m: [t.id for t in trades] for m, trades in chain.trades().items()}
    assert ledger.trades() == expected
    ends = ledger.ends()
    assert all(chain.blocks[n].header.hash == block_hash for n, block_hash in ends.items())


NAMED = {
    "empty logs": "receipts differ",
    "interior drop": "log index missing",
    "cut tail": "receipts differ",
    "wrong hash": "logs of another block",
    "duplicate index": "log index twice",
    "header is missing": "no such block",
    "wrong header": "wrong header",
    "forged header": "hash differs",
    "finalized is another block": "finalized is not ours",
}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "range limit"])
@pytest.mark.parametrize("endpoints", [1, 2])
async def test_a_fault_of_a_node_is_tolerated_or_found_by_name(fault, endpoints, monkeypatch):
    monkeypatch.setattr(ingest, "LEAST_RANGE", 10**9)
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node, MockNode(chain) as other:
        node.faults[fault] = 3
        async with following([node, other][:endpoints], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            if fault in {"head goes back", "lagging node"} or "finalized" in fault:
                while node.faults[fault]:
                    chain.grow()
                    await ledger.until(is_at_head(chain, ledger))
                    if endpoints == 2:
                        feed.node.rpc.elsewhere()
            check(chain, ledger)
            assert node.happened[fault] > 0
            if fault in NAMED:
                assert feed.rejects[NAMED[fault]] >= (
                    1 if "finalized" in fault else node.happened[fault]
                )
            else:
                assert feed.rejects == {}


async def test_calls_that_are_given_up_leave_the_way_free_for_others():
    async with MockNode(grown()) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0)
        for turns in range(40):
            calls = [asyncio.create_task(rpc.read("eth_chainId")) for _ in range(5)]
            for _ in range(turns // 4):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(60):
            assert await rpc.call("eth_chainId") == hex(RULES.chain_id)
        await rpc.close()


async def test_calls_one_after_the_other_share_a_connection():
    async with MockNode(grown()) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0)
        for _ in range(5):
            await rpc.call("eth_chainId")
        assert [*node.callers.values()] == [6], "the first call asks for the chain, too"
        await rpc.close()


async def test_a_node_that_closes_a_connection_is_asked_once_more_over_a_new_one():
    async with MockNode(grown()) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0)
        await rpc.call("eth_chainId")
        node.faults["hangs up"] = 1
        assert await rpc.call("eth_chainId") == hex(RULES.chain_id)
        assert await rpc.call("eth_chainId") == hex(RULES.chain_id)
        assert node.happened["hangs up"] == 1
        assert rpc.endpoints.all[0].outages == 0
        assert len(node.callers) == 3
        node.faults["hangs up"] = 2
        with pytest.raises(RetryableError, match="ServerDisconnectedError"):
            await rpc.call("eth_chainId")
        assert node.happened["hangs up"] == 3
        assert rpc.endpoints.all[0].outages == 1
        await rpc.close()


async def test_calls_that_fail_together_are_one_outage():
    async with MockNode(grown()) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0)
        await rpc.call("eth_chainId")
        for outages in range(1, 5):
            node.faults["503"] = 8
            calls = [rpc.call("eth_chainId") for _ in range(8)]
            failures = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(failure) for failure in failures} == {RetryableError}
            assert rpc.endpoints.all[0].outages == outages
        node.faults["503"] = 1
        with pytest.raises(RetryableError, match="503"):
            await rpc.call("eth_chainId")
        with pytest.raises(RestingError):
            await rpc.call("eth_chainId")
        await rpc.close()


NONSENSE = [
    {"result": None},
    {"result": 5},
    {"result": "five"},
    {"result": {"number": None}},
    {"result": [None]},
    {"error": {"code": None, "message": None}},
    {"error": {"code": "five", "message": 5}},
    {"error": 5},
]


@pytest.mark.parametrize(
    "method", ["eth_chainId", "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getLogs"]
)
@pytest.mark.parametrize("blocks", [30, 100])
async def test_nonsense_of_a_node_is_asked_for_again(method, blocks, monkeypatch):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(blocks), MemoryLedger()
    async with MockNode(chain) as node:
        node.has_receipts = method != "eth_getLogs" or blocks == 100
        node.told_first[method] = [*NONSENSE]
        async with following([node], ledger) as (feed, task):
            feed.node.rpc.endpoints.all[0].breaker = Tireless()
            await ledger.until(lambda: is_at_head(chain, ledger)() or task.done())
            assert not task.done()
            check(chain, ledger)
            assert node.told_first[method] == []


@pytest.mark.parametrize("name", ["blockNumber", "logIndex", "transactionIndex"])
async def test_a_log_of_a_range_without_its_place_is_asked_for_again(name, monkeypatch):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(100), MemoryLedger()
    log = next(log for block in chain.blocks for log in block.logs if log.address == AMM)
    async with MockNode(chain) as node:
        spoilt = [{"result": [to_json(log) | {name: "five"}]}]
        node.told_first["eth_getLogs"] = spoilt
        async with following([node], ledger) as (_, task):
            await ledger.until(lambda: is_at_head(chain, ledger)() or task.done())
            assert not task.done()
            check(chain, ledger)
            assert spoilt == []


@pytest.mark.parametrize(
    ("code", "message"),
    [(-32016, "over rate limit"), (-32097, "no backend is currently healthy"), (0, "oops")],
)
async def test_one_refusal_does_not_end_the_verification(code, message, monkeypatch):
    monkeypatch.setattr(ingest, "LEAST_RANGE", 10**9)
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node:
        refusal = {"error": {"code": code, "message": message}}
        node.told_first["eth_getBlockReceipts"] = [refusal]
        node.told_first["eth_getBlockByNumber"] = [refusal] * 3
        async with following([node], ledger):
            await ledger.until(is_at_head(chain, ledger))
            await ledger.until(lambda: any(isinstance(r, Final) for r in ledger.log))
            assert node.calls["eth_getLogs"] == 0, "receipts say what logs cannot"


async def test_an_endpoint_that_knows_a_method_is_asked_instead_of_one_that_does_not():
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as old, MockNode(chain) as node:
        old.has_receipts = old.has_finalized = False
        async with following([old, node], ledger):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert old.calls["eth_getBlockReceipts"] == 1
            assert node.calls["eth_getBlockReceipts"] > 1
            assert old.calls["eth_getLogs"] == node.calls["eth_getLogs"] == 0


async def test_a_method_is_asked_for_again_after_ten_minutes():
    chain, clock = grown(3), [0]
    async with MockNode(chain) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: clock[0], timeout_s=5)
        node.has_finalized = False
        seen = Node(rpc, RULES)
        assert [await seen.finalized() for _ in range(3)] == [None] * 3
        assert node.calls["eth_getBlockByNumber"] == 1
        node.has_finalized, clock[0] = True, LACKING_MS
        chain.grow(20)
        told = await seen.finalized()
        assert told is not None
        assert told.number == chain.settle()
        await rpc.close()


async def test_a_pool_is_not_given_up_because_a_node_refuses_a_call():
    chain = grown(1)
    stranger = Stranger(f"{AMM}/{IDS[0]}", OWN, 1, chain.head.hash)
    refused = [{"error": {"code": code, "message": "no"}} for code in (-32602, -32016, -32601)]
    async with MockNode(chain) as node:
        for refusal in refused:
            rpc = Rpc([node.url], RULES.chain_id, lambda: 0, timeout_s=5)
            tokens = Tokens(Node(rpc, RULES), new_pools())
            node.told_first["eth_call"] = [refusal] * 2
            with pytest.raises(RetryableError):
                await tokens.of(stranger)
            await rpc.close()
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0, timeout_s=5)
        tokens = Tokens(Node(rpc, RULES), new_pools())
        invalid = {"error": {"code": -32000, "message": "invalid opcode: INVALID"}}
        node.told_first["eth_call"] = [invalid] * 2
        assert await tokens.of(stranger) is None, "the contract itself cannot say"
        assert await tokens.of(stranger) is not None
        await rpc.close()


async def test_a_token_is_forgotten_with_the_block_that_it_was_learned_from():
    chain, pools = grown(1), new_pools()
    stranger = Stranger(f"{AMM}/{IDS[0]}", OWN, 1, chain.head.hash)
    async with MockNode(chain) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0, timeout_s=5)
        tokens = Tokens(Node(rpc, RULES), pools)
        first = await tokens.of(stranger)
        asked = node.calls["eth_call"]
        pools.forget(1)
        assert await tokens.of(stranger) == first
        assert node.calls["eth_call"] == asked + 2, "only which tokens there are"
        pools.forget(0)
        node.scale_of = lambda token: 9 if token == USDC else 8
        base, quote = await tokens.of(stranger)
        assert (base.scale, quote.scale) == (8, 9)
        await rpc.close()


async def test_without_receipts_the_bloom_finds_empty_logs(monkeypatch):
    monkeypatch.setattr(ingest, "LEAST_RANGE", 10**9)
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node:
        node.has_receipts = node.has_finalized = False
        node.faults["empty logs"] = 2
        async with following([node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert feed.rejects == {"bloom differs": 2}


def may_hold(chain: FakeChain, *addresses: str) -> int:
    """How many blocks may have logs of ``addresses``, as their blooms say."""
    bits = [bloom_bits(address) for address in addresses]
    return sum(any(b.header.bloom & each == each for each in bits) for b in chain.blocks)


NAMED_IN_RANGES = {
    "empty logs": "logs are missing",
    "interior drop": "logs are missing",
    "cut tail": "logs are missing",
    "wrong hash": "logs of another block",
    "duplicate index": "log index twice",
    "header is missing": "headers are missing",
    "wrong header": "wrong header",
    "forged header": "hash differs",
    "finalized is another block": "headers do not join",
    "finalized above head": "headers are missing",
}
NAMED_IN_BLOCKS = {
    "empty logs": {"receipts differ", "bloom differs"},
    "interior drop": {"log index missing"},
    "cut tail": {"receipts differ", "bloom differs"},
    "wrong hash": {"logs of another block"},
    "duplicate index": {"log index twice"},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("endpoints", [1, 2])
async def test_a_fault_of_a_node_that_tells_of_the_past_is_tolerated_or_found_by_name(
    fault, endpoints, monkeypatch
):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    monkeypatch.setattr(archive, "PAUSE_S", 0.01)
    chain, ledger = grown(150), MemoryLedger()
    async with MockNode(chain) as node, MockNode(chain) as other:
        node.faults[fault], node.spoils = 3, {"ranges"}
        async with following([node, other][:endpoints], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert node.happened[fault] > 0
            if fault in NAMED_IN_RANGES:
                assert feed.rejects[NAMED_IN_RANGES[fault]] > 0
            else:
                assert feed.rejects == {}


@pytest.mark.parametrize("fault", NAMED_IN_BLOCKS)
@pytest.mark.parametrize("has_receipts", [True, False])
async def test_a_block_of_the_past_is_verified_as_one_at_the_head_is(
    fault, has_receipts, monkeypatch
):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(150), MemoryLedger()
    async with MockNode(chain) as node:
        node.has_receipts, node.faults[fault], node.spoils = has_receipts, 3, {"blocks"}
        async with following([node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert node.happened[fault] == 3
            assert set(feed.rejects) <= NAMED_IN_BLOCKS[fault]
            assert sum(feed.rejects.values()) == 3


@pytest.mark.parametrize(
    "lie",
    [lambda _: [], lambda logs: logs[1:], lambda logs: logs[:-1]],
    ids=["all", "first", "last"],
)
@pytest.mark.parametrize("has_receipts", [True, False])
async def test_a_node_that_leaves_logs_out_of_every_range_is_found_and_does_no_harm(
    lie, has_receipts
):
    chain, ledger = grown(300), MemoryLedger()
    async with MockNode(chain) as node:
        node.has_receipts = has_receipts
        tell = node._eth_getLogs
        node._eth_getLogs = lambda wanted: (lie if "fromBlock" in wanted else list)(tell(wanted))
        async with following([node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert set(feed.rejects) == {"logs are missing"}


async def test_logs_beyond_a_range_are_named_and_nothing_is_written_twice(monkeypatch):
    monkeypatch.setattr("chaintide.streams.chain.past.FIRST_SIZE", 32)
    chain, ledger = grown(300), MemoryLedger()
    async with MockNode(chain) as node:
        tell = node._eth_getLogs

        def tell_more(wanted):
            if "toBlock" in wanted:
                wanted = wanted | {"toBlock": hex(int(wanted["toBlock"], 16) + 20)}
            return tell(wanted)

        node._eth_getLogs = tell_more
        async with following([node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert set(feed.rejects) == {"logs of another block"}


class Grudging(MockNode):
    """Answers fifty questions, and then none of the next ten."""

    def __init__(self, chain: FakeChain) -> None:
        super().__init__(chain)
        self.asked = count()

    async def _serve(self, request: web.Request) -> web.Response:
        is_enough = next(self.asked) % 60 >= 50
        return web.Response(status=429) if is_enough else await super()._serve(request)


async def test_a_past_is_done_in_smaller_ranges_where_a_node_answers_so_much_at_once(monkeypatch):
    monkeypatch.setattr("chaintide.streams.feeds.breaker._OPEN_MS", 200)
    chain, ledger = grown(200), MemoryLedger()
    async with Grudging(chain) as node, following([node], ledger):
        await ledger.until(is_at_head(chain, ledger))
        check(chain, ledger)


async def test_a_node_that_changes_logs_of_the_past_is_found_and_does_no_harm():
    chain, ledger = grown(300), MemoryLedger()
    async with MockNode(chain) as node:
        tell = node._eth_getLogs
        node._eth_getLogs = lambda wanted: [
            log | {"data": "0x" + "00" * (len(log["data"]) // 2 - 1)} for log in tell(wanted)
        ]
        async with following([node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert set(feed.rejects) == {"logs differ"}


async def test_a_node_that_makes_a_block_of_the_past_up_is_passed_over(monkeypatch):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(300), MemoryLedger()
    async with MockNode(chain) as liar, MockNode(chain) as node:
        made_up = {**liar._header(chain.blocks[100]), "hash": "0x" + "66" * 32}
        liar._headers[chain.blocks[100].header.hash] = made_up
        async with following([liar, node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert set(feed.rejects) <= {"headers do not join", "logs of another block"}
            assert feed.rejects
        ledger = MemoryLedger()
        async with following([liar], ledger) as (feed, task):
            async with asyncio.timeout(60):
                while sum(feed.rejects.values()) < 3 * archive.TRIES:
                    assert feed.status.state != "live"
                    await asyncio.sleep(0.01)
            assert ledger.ends() == {}
            assert not task.done()


class FullLedger(MemoryLedger):
    """Takes a few finished blocks, and then no more until there is room."""

    def __init__(self, ends: int) -> None:
        super().__init__()
        self.left = ends
        self.room = asyncio.Event()

    async def write(self, plan: Plan) -> None:
        if self.left == 0:
            await self.room.wait()
        await super().write(plan)
        self.left -= isinstance(self.log[-1], BlockEnd) if self.log else False


async def test_a_release_amid_a_walk_of_the_past_hands_over_what_is_written():
    chain, ledger = grown(200), FullLedger(ends=2)
    async with MockNode(chain) as node:
        async with following([node], ledger) as (feed, task):
            feed._past.size = 20
            await ledger.until(lambda: ledger.left == 0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            ledger.room.set()
            assert 0 < len(ledger.ends()) < len(chain.blocks)
            onlooker = Lease("two")
            onlooker.on_look(ledger.log, now_ms=0)
            assert not onlooker.is_over
            await feed.release()
            onlooker.on_look(ledger.log[-1:], now_ms=0)
            assert onlooker.is_over
        successor = ledger.reader()
        async with following([node], successor, writer="two"):
            await ledger.until(is_at_head(chain, ledger))
    check(chain, ledger)


async def test_a_past_that_does_not_join_what_is_final_halts_the_chain(monkeypatch):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(100), MemoryLedger()
    async with MockNode(chain) as node, following([node], ledger):
        await ledger.until(lambda: any(isinstance(r, Final) for r in ledger.log))
    last = max(record.number for record in ledger.log if isinstance(record, Final))
    ledger.log = [r for r in ledger.log if getattr(r, "number", 0) <= last]
    other = FakeChain(Random(8), made=10_000)
    other.grow(400)
    async with (
        MockNode(other) as node,
        following([node], ledger.reader(), writer="two") as (feed, task),
    ):
        async with asyncio.timeout(60):
            with pytest.raises(HaltedError, match=f"took back its final block {last}"):
                await task
        assert feed.rejects == {"headers do not join": MAX_REJECTS - 1}


async def test_headers_of_the_past_come_one_by_one_where_no_node_takes_batches():
    chain, rejects = grown(150), list[object]()
    async with MockNode(chain) as old, MockNode(chain) as node:
        rpc = Rpc([old.url, node.url], RULES.chain_id, lambda: 0, timeout_s=5)
        past = Archive(Node(rpc, RULES), rejects.append)
        old.has_batches = False
        first = await past.read(Range(0, 149), [AMM])
        assert old.calls["eth_getBlockByNumber"] == 0, "the other one takes them"
        assert node.calls["batches"] == 3
        node.has_batches = False
        rpc.endpoints.all[1].on_lack("batches", now_ms=0)
        assert await past.read(Range(0, 149), [AMM]) == first
        assert old.calls["eth_getBlockByNumber"] == 150
        assert rejects == []
        await rpc.close()


async def test_what_is_an_error_in_a_batch_is_asked_for_again():
    chain = grown(100)
    async with MockNode(chain) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0, timeout_s=5)
        node.told_first["eth_getBlockByNumber"] = [{"error": {"code": -32016, "message": "slow"}}]
        past = await Archive(Node(rpc, RULES), print).read(Range(0, 99), [AMM])
        assert len(past.headers) == 100
        assert node.calls["eth_getBlockByNumber"] == 101
        await rpc.close()


async def test_the_past_comes_in_ranges_that_shrink_and_leaves_no_seam():
    chain, ledger = grown(300), MemoryLedger()
    async with MockNode(chain) as node:
        node.range_limit, node.faults["range limit"] = 40, 2
        async with following([node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert feed.rejects == {}
            assert node.calls["eth_getBlockReceipts"] <= may_hold(chain, AMM, FACTORY) + 20
            logs = [out.record for out in ledger.written if isinstance(out.record, ChainLog)]
            places = [(log.number, log.log_index) for log in logs]
            assert places == sorted(set(places))
            children = {log.args["token"] for log in logs if log.event == "TokenCreated"}
            assert children == set(feed.publishing.watch.children)


async def test_ranges_that_time_out_shrink_and_stay_small(monkeypatch):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(700), MemoryLedger()
    async with MockNode(chain) as node:
        node.silent_range = 200
        async with following([node], ledger) as (feed, _):
            feed.node.rpc.endpoints.all[0].breaker = Tireless()
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert feed._past.size < FIRST_SIZE, "what was learned is remembered"


async def test_while_every_endpoint_rests_ranges_do_not_shrink():
    chain = grown(30)
    async with MockNode(chain) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0, timeout_s=5)
        past = Past(Node(rpc, RULES), new_watch(), print)
        for outages in range(5):
            rpc.endpoints.on_failure(rpc.endpoints.all[0], outages, now_ms=0)
        with pytest.raises(RestingError):
            [at async for at, _ in past.read(Range(0, 20), [AMM], None)]
        rpc.endpoints.all[0].breaker.on_success()
        assert [at async for at, _ in past.read(Range(0, 20), [AMM], None)] == [Range(0, 20)]
        await rpc.close()


async def test_more_addresses_than_nodes_take_are_asked_for_in_turn():
    chain = grown(30)
    many = sorted({AMM, FACTORY} | {f"0x{n:040x}" for n in range(2_500)})
    async with MockNode(chain) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0, timeout_s=5)
        past = await Archive(Node(rpc, RULES), print).read(Range(0, 30), many)
        expected = [log for b in chain.blocks for log in b.logs if log.address in {AMM, FACTORY}]
        assert past.logs == expected
        assert node.calls["eth_getLogs"] == 3
        await rpc.close()


async def test_a_reorg_is_undone_and_its_blocks_replaced():
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node, following([node], ledger):
        await ledger.until(is_at_head(chain, ledger))
        for depth, length in ((3, 4), (5, 2), (1, 1)):
            old = chain.reorg(depth, length)
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
        chain.flap_back(old)
        await ledger.until(is_at_head(chain, ledger))
        check(chain, ledger)


async def test_a_deep_reorg_halts_its_chain_and_leaves_others_running():
    chain, ledger = grown(), MemoryLedger()
    healthy, other = grown(seed=9), MemoryLedger()
    async with (
        MockNode(chain) as node,
        MockNode(healthy) as fine,
        following([node], ledger) as (_, task),
        following([fine], other),
    ):
        await ledger.until(lambda: any(isinstance(r, Final) for r in ledger.log))
        await ledger.until(is_at_head(chain, ledger))
        chain.final = -1
        del chain.blocks[10:]
        chain.grow(30)
        async with asyncio.timeout(60):
            with pytest.raises(HaltedError, match="took back its final block"):
                await task
        healthy.grow(3)
        await other.until(is_at_head(healthy, other))
        check(healthy, other)


async def test_a_node_of_another_chain_is_never_asked_again():
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(grown(seed=99), chain_id=5) as foreign, MockNode(chain) as node:
        async with following([foreign, node], ledger):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            assert foreign.calls == {"eth_chainId": 1}
        rpc = Rpc([foreign.url], RULES.chain_id, lambda: 0)
        with pytest.raises(FatalError, match="no endpoint is of chain id 31337"):
            await rpc.call("eth_blockNumber")
        await rpc.close()


async def test_a_follower_that_was_replaced_ends():
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node, following([node], ledger) as (_, task):
        await ledger.until(is_at_head(chain, ledger))
        async with following([node], ledger.reader(), writer="two"):
            async with asyncio.timeout(60):
                with pytest.raises(ReplacedError, match="another follower"):
                    await task
            chain.grow(3)
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)


async def test_a_follower_that_is_replaced_in_a_long_walk_ends_before_the_head(monkeypatch):
    monkeypatch.setattr(ingest, "LEAST_RANGE", 10**9)
    monkeypatch.setattr(ingest, "OWNER_MS", 0)
    chain, ledger = grown(200), MemoryLedger()
    async with MockNode(chain) as node, following([node], ledger) as (_, task):
        await ledger.until(lambda: len(ledger.ends()) > 5)
        ledger.log.append(Owner(chain=RULES.chain, epoch=2, writer="two", contracts={}))
        async with asyncio.timeout(60):
            with pytest.raises(ReplacedError, match="another follower"):
                await task
        assert max(ledger.ends()) < chain.head.number


async def test_a_restart_after_an_hour_leaves_no_gap_and_no_duplicate():
    chain, ledger = grown(100), MemoryLedger()
    async with MockNode(chain) as node:
        async with following([node], ledger):
            await ledger.until(is_at_head(chain, ledger))
        chain.grow(300)
        async with following([node], ledger.reader(), writer="two") as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            [first, second] = [r.epoch for r in ledger.log if isinstance(r, Owner)]
            assert (first, second) == (1, 2)
            logs = [out.record for out in ledger.written if isinstance(out.record, ChainLog)]
            made = {log.args["token"] for log in logs if log.event == "TokenCreated"}
            assert made == set(feed.publishing.watch.children)


async def test_more_missed_blocks_than_the_window_holds_are_caught_up_in_ranges(monkeypatch):
    monkeypatch.setattr(window, "MAX_BLOCKS", 50)
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node:
        async with following([node], ledger):
            await ledger.until(is_at_head(chain, ledger))
        chain.grow(200)
        async with following([node], ledger.reader(), writer="two"):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)
            ends = [record.number for record in ledger.log if isinstance(record, BlockEnd)]
            assert len(ends) < 100, "the rest came in ranges"


async def test_a_full_window_whose_last_blocks_were_reorged_away_goes_on(monkeypatch):
    monkeypatch.setattr(window, "MAX_BLOCKS", 50)
    monkeypatch.setattr(chains, "FINALITY", 1_000)
    chain, ledger = grown(49), MemoryLedger()
    async with MockNode(chain) as node:
        async with following([node], ledger) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            assert feed.follower.window.is_full
            chain.grow(1)
            async with asyncio.timeout(60):
                while "50 blocks are not final" not in feed.status.last_error:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert feed.status.state == "connecting"
        chain.reorg(3, 200)
        monkeypatch.setattr(chains, "FINALITY", 12)
        async with following([node], ledger.reader(), writer="two"):
            await ledger.until(is_at_head(chain, ledger))
            check(chain, ledger)


async def test_a_walk_that_broke_off_before_the_rest_came_in_ranges_halts_no_chain(monkeypatch):
    monkeypatch.setattr(ingest, "AGAIN_S", 0.01)
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node, following([node], ledger) as (feed, task):
        feed.node.rpc.endpoints.all[0].breaker = Tireless()
        await ledger.until(is_at_head(chain, ledger))
        node.dead.add("eth_getBlockReceipts")
        chain.grow()
        async with asyncio.timeout(60):
            while not node.happened["dead"]:  # noqa: ASYNC110  a node tells nothing
                await asyncio.sleep(0.01)
        chain.grow(200)
        node.dead.clear()
        await ledger.until(lambda: is_at_head(chain, ledger)() or task.done())
        assert not task.done()
        check(chain, ledger)


async def test_a_chain_whose_receipts_hash_otherwise_says_so_and_is_not_live():
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node:
        node.faults["cut tail"] = 10**9
        async with following([node], ledger) as (feed, _):
            async with asyncio.timeout(60):
                while feed.rejects.get("receipts differ", 0) < 2 * MAX_REJECTS:
                    assert feed.status.state != "live"
                    await asyncio.sleep(0.01)
            assert feed.status.last_error.startswith("receipts differ number=")
            assert feed.status.last_error.endswith("set has_receipts = false")


@pytest.mark.parametrize("has_hashes", [True, False])
async def test_a_chain_that_hashes_otherwise_is_followed_if_told_so(has_hashes):
    rules = msgspec.structs.replace(RULES, has_hashes=has_hashes)
    chain, ledger = grown(), MemoryLedger()
    async with MockNode(chain) as node:
        node.faults["forged header"] = 1
        async with following([node], ledger, rules=rules) as (feed, _):
            await ledger.until(is_at_head(chain, ledger))
            assert node.happened["forged header"] == 1
            assert ("hash differs" in feed.rejects) is has_hashes


async def test_errors_of_calls_are_told_apart():
    chain = grown(3)
    async with MockNode(chain) as node:
        rpc = Rpc([node.url], RULES.chain_id, lambda: 0)
        with pytest.raises(RpcError, match="no such method"):
            await rpc.call("eth_madeUp")
        node.faults["503"] = 9
        for _ in range(5):
            with pytest.raises(RetryableError, match="no endpoint answers"):
                await rpc.call("eth_chainId")
        node.faults["503"] = 0
        with pytest.raises(RetryableError, match="every endpoint is resting"):
            await rpc.call("eth_chainId")
        await rpc.close()


def test_every_fault_that_the_design_lists_has_its_test():
    """The list of the design, each with the test that brings the fault about by name."""
    tests = globals()
    elsewhere = {
        "range limit": "test_the_past_comes_in_ranges_that_shrink_and_leaves_no_seam",
        "deep reorg": "test_a_deep_reorg_halts_its_chain_and_leaves_others_running",
        "wrong chain id": "test_a_node_of_another_chain_is_never_asked_again",
    }
    listed = {"429", "time-out", "range limit", "lagging node", "empty logs", "interior drop"}
    listed |= {"cut tail", "wrong hash", "duplicate index", "head goes back", "deep reorg"}
    listed |= {"finalized above head", "wrong chain id"}
    assert listed <= {*FAULTS, *elsewhere}
    assert all(callable(tests[name]) for name in elsewhere.values())
