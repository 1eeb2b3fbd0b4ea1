"""Chains that are configured in a file are followed into Kafka, each on its own."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from chainrig import read_logs
from chains import AMM, CREATED_ABI, FACTORY, FakeChain
from property.recompute import recompute
from property.test_candle_laws import numbers
from rich.console import Console
from rpc_mock import USDC, MockNode

from chaintide.agents.book import Rules
from chaintide.agents.changelog import Recovery
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.api import chains
from chaintide.api.settings import Settings
from chaintide.streams import codec
from chaintide.streams.admin import ensure_topics
from chaintide.streams.chain.chainfile import ChainConfig, ContractConfig
from chaintide.streams.chain.chains import Surroundings, follow_chains
from chaintide.streams.chain.follower import Follower
from chaintide.streams.chain.records import Alias
from chaintide.streams.errors import ConfigError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import DeadLetter, FeedReport, TradeBatch
from chaintide.streams.topics import ALIASES, DEAD_LETTERS, FEEDS, TRADES, Topic

pytestmark = pytest.mark.broker
PARTITIONS = 3
SWAPS = ContractConfig(address=AMM, kind="credential-market")
CHILDREN = [{"event": "TokenCreated", "argument": "token", "kind": "erc20"}]
MADE = {"address": FACTORY, "abi": "factory.json", "children": CHILDREN}


def grown(blocks: int, seed: int) -> FakeChain:
    chain = FakeChain(Random(seed))
    chain.grow(blocks)
    return chain


def config(node: MockNode, name: str, *contracts: Any, **more: Any) -> ChainConfig:
    told = {"name": name, "id": node.chain_id, "http": [node.url], "poll_ms": 50, **more}
    return msgspec.convert(
        told | {"contracts": [msgspec.to_builtins(c) for c in contracts]}, ChainConfig
    )


def around(kafka: KafkaConfig, home: Path) -> Surroundings:
    (home / "factory.json").write_text(json.dumps([CREATED_ABI]))
    return Surroundings(
        kafka=kafka, partitions=PARTITIONS, home=home, now_ms=lambda: time.time_ns() // 10**6
    )


@asynccontextmanager
async def followed(
    configs: Sequence[ChainConfig], kafka: KafkaConfig, home: Path
) -> AsyncIterator["asyncio.Task[None]"]:
    await ensure_topics(kafka, PARTITIONS)
    task = asyncio.create_task(follow_chains(configs, around(kafka, home)))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def read(kafka: KafkaConfig, topic: Topic) -> list[bytes]:
    """Every value of a topic, partition after partition."""
    options = {"auto_offset_reset": "earliest", **kafka.client_options()}
    found: dict[TopicPartition, list[bytes]] = {}
    async with AIOKafkaConsumer(topic.name, **options) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found.setdefault(tp, []).extend(record.value for record in records)
    return [value for tp in sorted(found) for value in found[tp]]


async def until_at_head(kafka: KafkaConfig, chain: FakeChain, key: str) -> list[Any]:
    async with asyncio.timeout(60):
        kept, newest = await read_logs(kafka, key)
        while newest != chain.head.hash:
            await asyncio.sleep(0.05)
            kept, newest = await read_logs(kafka, key)
    return kept


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110  a topic has no event
            await asyncio.sleep(0.05)


async def state_of(kafka: KafkaConfig, key: str) -> FeedReport | None:
    reports = [codec.decode(msgspec.json.Decoder(FeedReport), v) for v in await read(kafka, FEEDS)]
    return next((report for report in reversed(reports) if report.venue == key), None)


def pool_of(market: str) -> int:
    """The number of a pool: in the fake chain's name of its market, or in its id."""
    if market.startswith("local:"):
        return int(market.removeprefix("local:T").removesuffix("-USDC"))
    return int(market[-2:], 16) - 1


async def candles_of(kafka: KafkaConfig, key: str) -> dict[Any, Any]:
    """What a worker makes of the trades topic: every candle in which somebody traded."""
    found: dict[Any, Any] = {}
    now_ms = time.time_ns() // 10**6
    options = {"auto_offset_reset": "earliest", **kafka.client_options()}
    logics = {place: PartitionLogic(Rules(), Recovery()) for place in range(PARTITIONS)}
    async with AIOKafkaConsumer(TRADES.name, **options) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for r in records:
                    told = Input(tp.partition, r.offset, now_ms, r.key, r.value)
                    assert logics[tp.partition].on_input(told) == []
    for logic in logics.values():
        for batch in logic.drain():
            for candle in batch.candles:
                if candle.trades and batch.market.startswith(f"{key}:"):
                    place = (pool_of(batch.market), candle.interval, candle.open_time_ms)
                    found[place] = numbers(candle)
    return found


def places(chain: FakeChain, *addresses: str) -> list[tuple[int, int]]:
    return [
        (block.header.number, log.index)
        for block in chain.blocks
        for log in block.logs
        if log.address in addresses
    ]


def told(kept: list[Any]) -> list[tuple[int, int]]:
    return sorted((log.number, log.log_index) for log in kept)


async def test_a_deep_reorg_stops_its_chain_loudly_and_leaves_the_other_running(kafka, tmp_path):
    bad, good = grown(30, 7), grown(30, 9)
    async with MockNode(bad, chain_id=71) as one, MockNode(good, chain_id=72) as two:
        configs = [config(one, "bad", SWAPS), config(two, "good", SWAPS)]
        async with followed(configs, kafka, tmp_path) as task:
            await until_at_head(kafka, bad, "71")
            del bad.blocks[5:]
            bad.final = -1
            bad.grow(60)

            async def is_halted() -> bool:
                report = await state_of(kafka, "71")
                return report is not None and report.state == "halted"

            await until(is_halted)
            report = await state_of(kafka, "71")
            assert "took back its final block" in report.last_error
            letters = [
                msgspec.json.decode(v, type=DeadLetter) for v in await read(kafka, DEAD_LETTERS)
            ]
            [letter] = [letter for letter in letters if letter.key == "71"]
            assert letter.reason == report.last_error
            good.grow(5)
            kept = await until_at_head(kafka, good, "72")
            assert told(kept) == places(good, AMM)
            assert not task.done()


async def test_swaps_become_trades_of_pools_that_the_chain_describes(kafka, tmp_path):
    chain = grown(40, 3)
    async with MockNode(chain, chain_id=73) as node:
        node.faults["block is forgotten"] = 2
        configs = [config(node, "third", SWAPS, quotes=[USDC])]
        async with followed(configs, kafka, tmp_path):
            await until_at_head(kafka, chain, "73")

            async def is_live() -> bool:
                report = await state_of(kafka, "73")
                return report is not None and report.state == "live"

            await until(is_live)
    batches = [codec.decode_trades(value) for value in await read(kafka, TRADES)]
    trades: dict[str, list[tuple[int, str, str]]] = {}
    for batch in batches:
        if isinstance(batch, TradeBatch) and batch.market.startswith("73:"):
            assert batch.block is not None
            rows = zip(batch.ids, batch.sides, batch.traders, strict=True)
            trades.setdefault(batch.market.rpartition("/")[2], []).extend(rows)
    expected = {
        market.removeprefix("local:T").removesuffix("-USDC"): [
            (trade.id, trade.side, trade.trader) for trade in inside
        ]
        for market, inside in chain.trades().items()
    }
    assert {str(int(pool[-2:], 16) - 1): rows for pool, rows in trades.items()} == expected
    aliases = [msgspec.json.decode(value, type=Alias) for value in await read(kafka, ALIASES)]
    mine = [alias for alias in aliases if alias.market.startswith("73:")]
    assert {alias.name for alias in mine} == {"third:USDC-USDC"}
    assert {(alias.base_scale, alias.quote_scale) for alias in mine} == {(18, 6)}


async def test_the_history_of_a_new_contract_is_written_before_the_chain_goes_on(kafka, tmp_path):
    chain = grown(60, 5)
    async with MockNode(chain, chain_id=74) as node:
        async with followed([config(node, "fourth", MADE)], kafka, tmp_path):
            kept = await until_at_head(kafka, chain, "74")
            assert told(kept) == places(chain, FACTORY)
        chain.grow(9)
        expected = {
            (pool_of(market), *window): told
            for market, trades in chain.trades().items()
            for window, told in recompute(trades).items()
        }

        async def has_candles() -> bool:
            return await candles_of(kafka, "74") == expected

        async with followed([config(node, "fourth", MADE, SWAPS)], kafka, tmp_path):
            kept = await until_at_head(kafka, chain, "74")
            await until(has_candles)
    assert told(kept) == places(chain, AMM, FACTORY)
    streams: dict[str, list[tuple[int, int]]] = {}
    for log in kept:
        streams.setdefault(log.stream, []).append((log.number, log.log_index))
    assert all(order == sorted(order) for order in streams.values())


async def test_a_command_writes_history_while_the_follower_waits(kafka, tmp_path):
    chain = grown(60, 6)
    async with MockNode(chain, chain_id=75) as node:
        file = tmp_path / "chains.json"
        whole = config(node, "fifth", MADE, SWAPS)
        file.write_text(json.dumps({"chains": [msgspec.to_builtins(whole)]}))
        settings = Settings(kafka=kafka.bootstrap, partitions=PARTITIONS, chains=file)
        console = Console(quiet=True)
        now_ms = around(kafka, tmp_path).now_ms

        async def sync(first: int | None, last: int | None) -> int:
            wanted = chains.History(
                address=AMM.upper().replace("X", "x"), chain="75", first=first, last=last
            )
            return await chains.sync(settings, wanted, console, now_ms)

        async with followed([config(node, "fifth", MADE)], kafka, tmp_path):
            await until_at_head(kafka, chain, "75")
            written = await sync(10, 30)
            wanted = [place for place in places(chain, AMM) if 10 <= place[0] <= 30]
            assert written == len(wanted) > 10
            chain.grow(3)
            kept = await until_at_head(kafka, chain, "75")
            assert told(kept) == sorted(wanted + places(chain, FACTORY))
            assert await sync(10, 30) == 0, "nothing twice"
        async with followed([whole], kafka, tmp_path):
            chain.grow(1)
            kept = await until_at_head(kafka, chain, "75")
    assert told(kept) == places(chain, AMM, FACTORY)


async def test_of_a_chain_that_nobody_follows_everything_is_written_up_to_there(kafka, tmp_path):
    chain = grown(200, 8)
    async with MockNode(chain, chain_id=76) as node:
        file = tmp_path / "chains.json"
        whole = config(node, "sixth", MADE, SWAPS)
        around(kafka, tmp_path)
        file.write_text(json.dumps({"chains": [msgspec.to_builtins(whole)]}))
        settings = Settings(kafka=kafka.bootstrap, partitions=PARTITIONS, chains=file)
        await ensure_topics(kafka, PARTITIONS)
        wanted = chains.History(address=AMM, chain="sixth", first=None, last=120)
        now_ms = around(kafka, tmp_path).now_ms
        written = await chains.sync(settings, wanted, Console(quiet=True), now_ms)
        kept, newest = await read_logs(kafka, "76")
        assert newest == chain.blocks[120].header.hash
        expected = [place for place in places(chain, AMM, FACTORY) if place[0] <= 120]
        assert (told(kept), written) == (expected, len(expected))
        async with followed([whole], kafka, tmp_path):
            kept = await until_at_head(kafka, chain, "76")
        assert told(kept) == places(chain, AMM, FACTORY)
        stranger = chains.History(address=USDC, chain="sixth", first=None, last=None)
        with pytest.raises(ConfigError, match=r"chain sixth has no contract 0xc0c0.*add it first"):
            await chains.sync(settings, stranger, Console(quiet=True), now_ms)


async def test_without_a_file_or_a_chain_there_is_nothing_to_follow(kafka, tmp_path):
    with pytest.raises(ConfigError, match="set CHAINTIDE_CHAINS"):
        chains.configs(Settings(), ["x"])
    with pytest.raises(ConfigError, match="no chain to follow"):
        await follow_chains([], around(kafka, tmp_path))


async def test_a_past_that_is_added_to_a_market_which_runs_becomes_candles(kafka, tmp_path):
    chain = grown(120, 11)
    late = ContractConfig(address=AMM, kind="credential-market", start_block=100)
    early = ContractConfig(address=AMM, kind="credential-market", start_block=0)
    async with MockNode(chain, chain_id=77) as node:
        file = tmp_path / "chains.json"
        whole = config(node, "seventh", MADE, late)
        file.write_text(json.dumps({"chains": [msgspec.to_builtins(whole)]}))
        settings = Settings(kafka=kafka.bootstrap, partitions=PARTITIONS, chains=file)
        now_ms = around(kafka, tmp_path).now_ms

        async def sync(first: int) -> int:
            wanted = chains.History(address=AMM, chain="77", first=first, last=None)
            return await chains.sync(settings, wanted, Console(quiet=True), now_ms)

        def told_from(first: int) -> list[tuple[int, int]]:
            swaps = [place for place in places(chain, AMM) if place[0] >= first]
            return sorted(swaps + places(chain, FACTORY))

        async with followed([whole], kafka, tmp_path):
            assert told(await until_at_head(kafka, chain, "77")) == told_from(100)
            chain.grow(3)
            await until_at_head(kafka, chain, "77")
            for first in (60, 20):
                assert await sync(first) > 20
                chain.grow(2)
                assert told(await until_at_head(kafka, chain, "77")) == told_from(first)
        async with followed([config(node, "seventh", MADE, early)], kafka, tmp_path):
            chain.grow(2)
            assert told(await until_at_head(kafka, chain, "77")) == told_from(0)
            await until(lambda: _has_candles(kafka, chain, "77"))


async def _has_candles(kafka: KafkaConfig, chain: FakeChain, key: str) -> bool:
    expected = {
        (pool_of(market), *window): told
        for market, trades in chain.trades().items()
        for window, told in recompute(trades).items()
    }
    return await candles_of(kafka, key) == expected


async def test_what_nobody_thought_of_ends_no_other_chain(kafka, tmp_path, monkeypatch):
    bad, good = grown(5, 7), grown(5, 9)
    once = [TypeError("nobody thought of this")]
    walk = Follower.on_head

    def stumble(self, header):
        if self.rules.chain_id == 78 and once:
            raise once.pop()
        return walk(self, header)

    monkeypatch.setattr(Follower, "on_head", stumble)
    async with MockNode(bad, chain_id=78) as one, MockNode(good, chain_id=79) as two:
        configs = [config(one, "odd", SWAPS), config(two, "even", SWAPS)]
        async with followed(configs, kafka, tmp_path) as task:
            await until_at_head(kafka, good, "79")
            await until_at_head(kafka, bad, "78")
            assert not once
            assert not task.done()
