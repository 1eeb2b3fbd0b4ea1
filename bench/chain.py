"""Chains: logs a second on one core beside web3.py, events a second over RPC, head to candle.

Blocks of the first figure are in memory as a node would tell them, receipts and all; every one is
verified, decoded, and acknowledged by Kafka. The others are of a real node, anvil, and of the
product's own processes.
"""

import argparse
import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rig.chain import MemoryNode, made_blocks, web3_route
from rig.report import report

from chaintide.api import machine
from chaintide.api.localchain import config_of, write
from chaintide.api.settings import Settings
from chaintide.api.sockets.garbage import seldom
from chaintide.contracts.activity import Activity
from chaintide.contracts.anvil import Anvil, AnvilOptions, start_anvil
from chaintide.streams.admin import ensure_topics
from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.chain.ingest import ChainFeed
from chaintide.streams.chain.ledger import ledger
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.child import Child
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import CandleBatch
from chaintide.streams.topics import CANDLES, CHAIN

PARTITIONS = 4
PACKAGES = ("chaintide", "web3", "aiokafka")
RUNS = 6  # the broker gets quicker, and a run may be disturbed: the best one counts


def now_ms() -> int:
    return time.time_ns() // 10**6


# -------------------------------------------------------------------- from memory


async def ours(kafka: KafkaConfig, node: MemoryNode) -> tuple[float, float]:
    """Follow the chain to its head; return processor and wall time."""
    rules, publishing = node.rules, Publishing(node.watch(), node.pools(), PARTITIONS)
    async with ledger(kafka, rules.chain, publishing.home) as book:
        status = FeedStatus(rules.chain, [])
        feed = ChainFeed(Node(node, rules), publishing, book, status, now_ms)  # type: ignore[arg-type]
        await feed.take_over(Takeover(rules, publishing, "bench"))
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        await feed.go_to_head()
        spent = time.process_time() - cpu_s, time.perf_counter() - wall_s
    if publishing.logs != node.logs:
        raise SystemExit(f"{publishing.logs} of {node.logs} logs came out: {feed.rejects}")
    return spent


async def from_memory(kafka: KafkaConfig, blocks: int, transactions: int) -> None:
    best = min([await ours(kafka, made_blocks(blocks, transactions, n)) for n in range(RUNS)])
    node = made_blocks(max(1, blocks // 30), transactions, 9)
    async with AIOKafkaProducer(**kafka.producer_options(linger_ms=2)) as producer:
        cpu_s = time.process_time()
        peers = await web3_route(node, producer)
        peer_s = time.process_time() - cpu_s
    if peers != node.logs:
        raise SystemExit(f"web3.py decoded {peers} of {node.logs} logs")
    rate, peer = node.logs_of(blocks, transactions) / best[0], node.logs / peer_s
    report(
        "chain.memory",
        rate,
        "logs a second and core, verified, decoded and in Kafka",
        ratio={"web3.py": rate / peer},
        packages=PACKAGES,
        blocks=blocks,
        logs_a_block=transactions * 3,
        wall_logs_s=node.logs_of(blocks, transactions) / best[1],
        web3_logs_s=peer,
    )


# --------------------------------------------------------------------- over RPC


async def over_rpc(home: Path, seconds: float) -> None:
    """Mine busy blocks first, then start the product and time it from the first log to the last."""
    anvil, activity = _anvil(home, trades_per_block=80.0)
    try:
        deployed = activity.deploy(anvil.rpc)
        for _ in range(int(seconds * 12)):
            activity.step(anvil.rpc)
        events = len(anvil.rpc("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]))
        file = home / "chains.json"
        write(file, config_of(31_337, anvil.url, deployed, 0.2))
        settings = Settings(data_dir=home / "data", partitions=PARTITIONS)
        async with machine.running(settings, 1, print) as (kafka, supervisor):
            await ensure_topics(kafka, PARTITIONS)
            supervisor.environment["CHAINTIDE_CHAINS"] = str(file)
            watching = asyncio.create_task(_first_and_last(kafka, anvil))
            supervisor.add("chains", "ingest", "--chain", "local")
            began_s, ended_s = await asyncio.wait_for(watching, 120)
    finally:
        anvil.stop()
    report(
        "chain.rpc",
        events / (ended_s - began_s),
        "events a second from anvil over RPC into Kafka",
        packages=PACKAGES,
        events=events,
    )


async def _first_and_last(kafka: KafkaConfig, anvil: Anvil) -> tuple[float, float]:
    """Return when the follower had the chain, and when the head was in every partition."""
    head = anvil.rpc("eth_blockNumber")
    began_s, done = 0.0, set[int]()
    options = {"auto_offset_reset": "earliest", "fetch_max_wait_ms": 5}
    async with AIOKafkaConsumer(CHAIN.name, **kafka.client_options(), **options) as consumer:
        async for record in consumer:
            began_s = began_s or time.perf_counter()  # the undo with which a follower begins
            is_head = b'"type":"head"' in record.value
            if is_head and json.loads(record.value)["number"] == int(head, 16):
                done.add(record.partition)
            if len(done) == PARTITIONS:
                break
    return began_s, time.perf_counter()


# --------------------------------------------------------------------- latency


async def head_to_candle(home: Path, seconds: float, block_s: float) -> None:
    anvil, activity = _anvil(home, trades_per_block=10.0)
    try:
        deployed = activity.deploy(anvil.rpc)
        file = home / "chains.json"
        write(file, config_of(31_337, anvil.url, deployed, 2.0))
        settings = Settings(data_dir=home / "data", partitions=PARTITIONS)
        async with machine.running(settings, 1, print) as (kafka, supervisor):
            supervisor.environment["CHAINTIDE_CHAINS"] = str(file)
            supervisor.add("chains", "ingest", "--chain", "local")
            seen: dict[int, float] = {}
            watching = asyncio.create_task(_watch_candles(kafka, seen))
            mined = await _mine(anvil, activity, seconds, block_s, seen)
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    finally:
        anvil.stop()
    latencies = [(seen[n] - mined[n]) * 1000 for n in mined if n in seen]
    if len(latencies) < 20:
        raise SystemExit(f"{len(latencies)} blocks of {len(mined)} with trades came out")
    cuts = quantiles(latencies, n=100)
    for name, place in (("p50", 50), ("p99", 99)):
        report(
            f"chain.latency.{name}",
            cuts[place - 1],
            "ms from a new head to a candle with its last trade on the topic",
            packages=PACKAGES,
            blocks=len(latencies),
            block_s=block_s,
        )


async def _mine(
    anvil: Anvil, activity: Activity, seconds: float, block_s: float, seen: dict[int, float]
) -> dict[int, float]:
    """Make blocks at an even pace; return when each was there, without those of the start."""
    mined: dict[int, float] = {}
    end_s, is_warm = time.perf_counter() + 90, False
    while time.perf_counter() < end_s:
        began_s = time.perf_counter()
        await asyncio.to_thread(anvil.rpc, "evm_setTime", [now_ms() // 1000])
        await asyncio.to_thread(activity.step, anvil.rpc)
        now_s, head = (
            time.perf_counter(),
            int(await asyncio.to_thread(anvil.rpc, "eth_blockNumber"), 16),
        )
        if not is_warm and seen:
            is_warm, end_s = True, now_s + seconds
        if is_warm:
            mined[head] = now_s
        await asyncio.sleep(max(0.0, block_s - (time.perf_counter() - began_s)))
    await asyncio.sleep(2)
    return mined


async def _watch_candles(kafka: KafkaConfig, seen: dict[int, float]) -> None:
    """Note when a candle first shows a trade of each block."""
    decode = msgspec.json.Decoder(CandleBatch).decode
    options = {"auto_offset_reset": "earliest", "fetch_max_wait_ms": 5}
    async with AIOKafkaConsumer(CANDLES.name, **kafka.client_options(), **options) as consumer:
        async for record in consumer:
            for candle in decode(record.value).candles:
                if candle.interval == "1m" and candle.last_trade_id is not None:
                    seen.setdefault(candle.last_trade_id >> 20, time.perf_counter())


def _anvil(home: Path, *, trades_per_block: float) -> tuple[Anvil, Activity]:
    options = AnvilOptions(is_mining=False, start_s=now_ms() // 1000 - 600)
    anvil = start_anvil(Child, home / "anvil.log", options)
    return anvil, Activity(1, trades_per_block=trades_per_block, reorg_every=0)


# ------------------------------------------------------------------------ main


async def memory(blocks: int, transactions: int) -> None:
    with TemporaryDirectory() as home:
        broker = EmbeddedBroker(Path(home))
        try:
            kafka = await broker.start()
            await ensure_topics(kafka, PARTITIONS)
            await from_memory(kafka, blocks, transactions)
        finally:
            await broker.stop()


def main(arguments: argparse.Namespace) -> None:
    os.environ["CHAINTIDE_PARTITIONS"] = str(PARTITIONS)
    wanted = arguments.only or ["memory", "rpc", "latency"]
    if "memory" in wanted:
        with seldom():  # as in the product
            uvloop.run(memory(arguments.blocks, arguments.transactions))
    for name in wanted:
        if name == "memory":
            continue
        with TemporaryDirectory() as folder:
            home = Path(folder)
            if name == "rpc":
                asyncio.run(over_rpc(home, arguments.seconds))
            else:
                asyncio.run(head_to_candle(home, arguments.seconds, arguments.block_s))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=["memory", "rpc", "latency"])
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--transactions", type=int, default=140, help="in a block, of 3 logs each")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--block-s", type=float, default=0.25)
    main(parser.parse_args())
