"""The whole way from a real EVM to stored candles, and what it all should come to."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from property.recompute import PlainTrade, recompute
from property.test_candle_laws import numbers

from chaintide.api import machine, roles
from chaintide.api.localchain import config_of
from chaintide.api.settings import Settings
from chaintide.api.supervisor import Supervisor
from chaintide.contracts.activity import Activity
from chaintide.contracts.anvil import Anvil, AnvilOptions, start_anvil
from chaintide.contracts.contract import contract_at
from chaintide.contracts.deployment import Deployment
from chaintide.contracts.npm import NpmError
from chaintide.streams.chain.chainfile import ChainConfig
from chaintide.streams.chain.records import ChainLog, ChainMessage
from chaintide.streams.child import Child
from chaintide.streams.ending import end_if_told
from chaintide.streams.intervals import INTERVALS, WIDTH_MS
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import Final, Market, Undo
from chaintide.streams.topics import CHAIN

PATIENCE_S = 60
EIGHTEEN_DIGITS = Context(prec=18, rounding=ROUND_HALF_UP)
_message = msgspec.json.Decoder(ChainMessage)
Place = tuple[int, str, int]
Shown = dict[tuple[str, str, int], tuple[object, ...]]


def now_ms() -> int:
    return time.time_ns() // 10**6


@dataclass
class LiveChain:
    """An anvil on which a seed trades, and the truth about it."""

    anvil: Anvil
    activity: Activity
    deployed: Deployment
    config: ChainConfig
    blocks: dict[str, Any] = field(default_factory=dict)

    @property
    def rpc(self) -> Any:
        return self.anvil.rpc

    @property
    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.activity.step(self.rpc)

    def rollback(self, depth: int) -> list[list[dict[str, str]]]:
        """Take blocks back; return the transactions of each, and when it was."""
        gone = [self.block(n) for n in range(self.head - depth + 1, self.head + 1)]
        self.rpc("anvil_rollback", [depth])
        return gone

    def mine_again(self, block: Any) -> None:
        """Make the block once more, to the last bit."""
        for transaction in block["transactions"]:
            self.rpc("eth_sendTransaction", [_asked(transaction)])
        self.rpc("evm_setNextBlockTimestamp", [block["timestamp"]])
        self.rpc("anvil_setNextBlockBaseFeePerGas", [block["baseFeePerGas"]])
        self.rpc("evm_mine")

    def block(self, number: int) -> Any:
        return self.rpc("eth_getBlockByNumber", [hex(number), True])

    def logs(self) -> list[dict[str, Any]]:
        """Every log of the canonical chain from contracts that are followed."""
        made = {dao.lower() for dao in self.deployed.daos}
        made |= {listing.token.lower() for listing in self.deployed.listings}
        named = {contract.address.lower() for contract in self.config.contracts}
        asked = {"fromBlock": hex(self.config.start_block), "toBlock": "latest"}
        return self.rpc("eth_getLogs", [asked | {"address": sorted(named | made)}])

    def places(self) -> list[Place]:
        return sorted(
            (int(log["blockNumber"], 16), log["blockHash"], int(log["logIndex"], 16))
            for log in self.logs()
        )

    def trades(self) -> dict[str, list[PlainTrade]]:
        """The swaps of the canonical chain by market, as nobody of ours reads them."""
        markets = {
            listing.market.lower(): f"{listing.kind.title()}Market"
            for listing in self.deployed.listings
        }
        times: dict[str, int] = {}
        found: dict[str, list[PlainTrade]] = {}
        for log in self.logs():
            name = markets.get(log["address"])
            said = name and contract_at(name, log["address"]).interface.log(
                log["topics"], log["data"]
            )
            if not said or said.name != "Swap":
                continue
            number = log["blockNumber"]
            if number not in times:
                times[number] = int(self.block(int(number, 16))["timestamp"], 16)
            tokens, dollars = said["tokenAmount"], said["usdcAmount"]
            size = Decimal(abs(tokens)).scaleb(-18)
            trade = PlainTrade(
                int(number, 16) << 20 | int(log["logIndex"], 16),
                times[number] * 10**6,
                EIGHTEEN_DIGITS.divide(Decimal(abs(dollars)).scaleb(-6), size),
                size,
                "b" if tokens < 0 else "s",
                said["user"],
            )
            market = f"{self.config.id}:{log['address']}/{log['topics'][1]}"
            found.setdefault(market, []).append(trade)
        return found

    def candles(self) -> dict[tuple[str, str, int], tuple[object, ...]]:
        return {
            (market, *window): numbers
            for market, trades in self.trades().items()
            for window, numbers in recompute(trades).items()
        }


def _asked(transaction: dict[str, str]) -> dict[str, str]:
    same = ("from", "to", "gas", "value", "nonce", "type", "maxFeePerGas", "maxPriorityFeePerGas")
    asked = {key: transaction[key] for key in same if key in transaction}
    return asked | {"data": transaction["input"]}


@contextmanager
def live_chain(
    home: Path,
    *,
    seed: int = 1,
    chain_id: int = 31_337,
    start_s: int | None = None,
    block_time_s: int | None = None,
    reorg_every: float = 0,
    trades_per_block: float = 4,
) -> Iterator[LiveChain]:
    options = AnvilOptions(
        is_mining=False,
        chain_id=chain_id,
        start_s=int(time.time()) - 600 if start_s is None else start_s,
    )
    try:
        anvil = start_anvil(Child, home / f"anvil-{chain_id}.log", options)
    except NpmError as error:
        pytest.skip(str(error))
    try:
        activity = Activity(
            seed,
            reorg_every=reorg_every,
            block_time_s=block_time_s,
            trades_per_block=trades_per_block,
        )
        deployed = activity.deploy(anvil.rpc)
        config = config_of(chain_id, anvil.url, deployed, 0.1)
        yield LiveChain(anvil, activity, deployed, config)
    finally:
        anvil.stop()


@dataclass
class Rig:
    """The product's own processes, at work on one chain."""

    chain: LiveChain
    settings: Settings
    kafka: KafkaConfig
    supervisor: Supervisor

    async def stored(self, *, only_final: bool = False) -> Shown:
        """What the store has of every candle in which somebody traded on the chain."""
        found: Shown = {}
        async with roles.store(self.settings) as store:
            for market in await store.markets():
                if not market.startswith(f"{self.chain.config.key}:"):
                    continue
                for interval in INTERVALS:
                    for candle in await store.candles(Market(market), interval):
                        if candle.trades and (candle.status == "final" or not only_final):
                            found[market, interval, candle.open_time_ms] = numbers(candle)
        return found

    async def check(self) -> int:
        """Wait until the store has the candles of the canonical chain; return how many."""
        return await self._check(await asyncio.to_thread(self.chain.candles), only_final=False)

    async def check_final(self) -> int:
        """Wait until those up to the last final block, and no others, are final, and right."""
        block = await asyncio.to_thread(self.chain.rpc, "eth_getBlockByNumber", ["finalized", True])
        end_ms = int(block["timestamp"], 16) * 1000
        candles = await asyncio.to_thread(self.chain.candles)
        ended = {key: c for key, c in candles.items() if key[2] + WIDTH_MS[key[1]] <= end_ms}
        return await self._check(ended, only_final=True)

    async def _check(self, expected: Shown, *, only_final: bool) -> int:
        found: Shown = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (found := await self.stored(only_final=only_final)) != expected:
                    end_if_told()
                    await asyncio.sleep(0.2)
        except TimeoutError:
            wrong = {k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)}
            some = {k: (expected.get(k), found.get(k)) for k in sorted(wrong)[:3]}
            raise AssertionError(
                f"{len(wrong)} of {len(expected)} candles differ: {some}"
            ) from None
        return len(expected)

    async def logs(self) -> list[ChainLog]:
        """Wait until the topic has the chain's head; return what a careful reader keeps of it."""
        head = await asyncio.to_thread(self.chain.block, self.chain.head)
        async with asyncio.timeout(PATIENCE_S):
            kept, newest = await read_logs(self.kafka, self.chain.config.key)
            while newest != head["hash"]:
                end_if_told()
                await asyncio.sleep(0.2)
                kept, newest = await read_logs(self.kafka, self.chain.config.key)
        return kept


async def read_logs(kafka: KafkaConfig, chain: str) -> tuple[list[ChainLog], str]:
    """Return the logs that are not undone, as they came, and the hash of the newest block."""
    kept: dict[int, list[ChainLog]] = {}
    epochs: dict[int, int] = {}
    newest: dict[int, str] = {}
    options = {"auto_offset_reset": "earliest", **kafka.client_options()}
    async with AIOKafkaConsumer(CHAIN.name, **options) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    message = _message.decode(record.value)
                    place = tp.partition
                    if message.chain != chain or message.epoch < epochs.get(place, 0):
                        continue
                    epochs[place] = message.epoch
                    inside = kept.setdefault(place, [])
                    match message:
                        case ChainLog():
                            inside.append(message)
                        case Undo(to_number=number):
                            kept[place] = [log for log in inside if log.number <= number]
                        case Final():
                            pass
                        case _:
                            newest[place] = message.block_hash
    hashes = set(newest.values())
    whole = len(newest) == len(ends) and len(hashes) == 1
    return [log for logs in kept.values() for log in logs], hashes.pop() if whole else ""


@asynccontextmanager
async def rig(home: Path, chain: LiveChain, *others: LiveChain) -> AsyncIterator[Rig]:
    """Run Kafka, a worker, a sink and a follower of ``chain`` and of ``others``."""
    settings = Settings(data_dir=home / "data", partitions=4)
    file = home / "chains.json"
    configs = [chain.config, *[other.config for other in others]]
    file.write_text(json.dumps({"chains": [msgspec.to_builtins(each) for each in configs]}))
    followed = [word for config in configs for word in ("--chain", config.key)]
    said: list[str] = []
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CHAINTIDE_PARTITIONS", "4")
        environment.setenv("CHAINTIDE_CHAINS", str(file))
        async with machine.running(settings, 1, said.append) as (kafka, supervisor):
            supervisor.add("chains", "ingest", *followed)
            yield Rig(chain, settings, kafka, supervisor)
