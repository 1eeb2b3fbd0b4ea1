"""Blocks that are undone, from topics through a worker and a sink to REST: nothing stays stale."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from integration.test_worker import PARTITIONS, worker
from unit.test_partition_chains import final, trades, undo
from unit.test_pools import log as pool_log

from chaintide.api import roles
from chaintide.api.follower import Follower
from chaintide.api.loading import load_patiently
from chaintide.api.rest.app import new_app, with_edge
from chaintide.api.rest.backend import Backend
from chaintide.api.state.view import View
from chaintide.sinks.runner import run_sink
from chaintide.sinks.sqlite import SqliteStore
from chaintide.streams import codec
from chaintide.streams.admin import ensure_topics
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Heartbeat, Market, TradeBatch
from chaintide.streams.topics import CHAIN, TRADES, Topic

pytestmark = pytest.mark.broker
MINUTE_MS = 60_000
MARKET = Market("local:0xa1/0x01")
Told = Callable[[], Awaitable[Any]]


class Chain:
    """What the follower of a chain writes, block by block."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self.producer = AIOKafkaProducer(**kafka.client_options())
        self.open_ms = (time.time_ns() // 1_000_000 // MINUTE_MS - 5) * MINUTE_MS

    async def block(self, number: int, *ids: int, traders: str, after_ms: int = 0) -> None:
        batch = trades(number, *ids, market=MARKET, traders=traders)
        times_us = [(self.open_ms + after_ms) * 1000 for _ in ids]
        await self._write(TRADES, _at(batch, times_us))
        held = {"tokenReserves": f"{number}", "usdcReserves": f"{number * 2}"}
        await self._write(CHAIN, pool_log(number, MARKET, "ReservesUpdated", **held))
        await self.beat(after_ms)

    async def beat(self, after_ms: int) -> None:
        time_us = (self.open_ms + after_ms) * 1000
        await self._everywhere(TRADES, Heartbeat(venue="local", time_us=time_us, epoch=1))

    async def undo(self, to_number: int) -> None:
        for topic in (CHAIN, TRADES):
            await self._everywhere(topic, undo(to_number))

    async def settle(self, number: int, after_ms: int) -> None:
        for topic in (CHAIN, TRADES):
            await self._everywhere(topic, final(number, time_ms=self.open_ms + after_ms))

    async def _everywhere(self, topic: Topic, record: object) -> None:
        for partition in range(PARTITIONS):
            await self._send(topic, record, partition)

    async def _write(self, topic: Topic, record: object) -> None:
        await self._send(topic, record, partition_of(MARKET, PARTITIONS))

    async def _send(self, topic: Topic, record: object, partition: int) -> None:
        value = codec.encode(record)
        await self.producer.send_and_wait(topic.name, value, key=b"local", partition=partition)


def _at(batch: TradeBatch, times_us: list[int]) -> TradeBatch:
    fields = {name: getattr(batch, name) for name in batch.__struct_fields__}
    return TradeBatch(**fields | {"times_us": times_us})


@asynccontextmanager
async def serving(kafka: KafkaConfig, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run a sink and a server's state; yield a client of the server."""
    store, view, stop = SqliteStore(folder / "test.sqlite"), View(), asyncio.Event()
    follower = Follower(
        kafka=kafka,
        partitions=PARTITIONS,
        view=view,
        now_ms=lambda: time.time_ns() // 1_000_000,
        on_updates=lambda _: None,
        sinks=roles.SINKS_GROUP,
        load=partial(load_patiently, view, store),
    )
    backend = Backend(
        view=view,
        store=store,
        following=follower,
        now_ms=lambda: 0,
        cursor_key=b"key",
        is_loaded=True,
    )
    clock = (lambda: 0, lambda: 0.0)
    app = with_edge(new_app(backend), per_minute=0, origins=frozenset(), clock=clock)
    sink = run_sink(kafka.client_options(), store, group=roles.SINKS_GROUP, stop=stop)
    tasks = [asyncio.create_task(sink), asyncio.create_task(follower.run())]
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http
    stop.set()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()


async def until(told: Told, is_so: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(60):
        while not is_so(found := await told()):  # noqa: ASYNC110  a server is asked from outside
            await asyncio.sleep(0.05)
    return found


async def test_what_a_chain_takes_back_is_gone_everywhere_and_what_is_final_stays(
    kafka: KafkaConfig, tmp_path: Path
):
    await ensure_topics(kafka, PARTITIONS)
    chain = Chain(kafka)
    async with chain.producer, serving(kafka, tmp_path) as http:

        async def minute() -> dict[str, Any]:
            query = {"market": MARKET, "start": chain.open_ms, "limit": 1}
            found = (await http.get("/v1/candles", params=query)).json().get("candles")
            return found[0] if found else {}

        async def week() -> dict[str, Any]:
            query = {"market": MARKET, "interval": "1w"}
            found = (await http.get("/v1/candles", params=query)).json().get("candles")
            return found[-1] if found else {}

        async def pool() -> dict[str, Any]:
            return (await http.get(f"/v1/pools/{MARKET}")).json()

        async def figures() -> dict[str, Any]:
            found = (await http.get("/v1/tickers", params={"market": MARKET})).json()
            return found["tickers"][0]

        async def tape() -> list[int]:
            found = await http.get("/v1/trades", params={"market": MARKET})
            return [trade["trade_id"] for trade in found.json().get("trades", [])]

        async with worker(kafka, tmp_path / "first") as process:
            await chain.block(1, 10, 11, traders="ab")
            await chain.block(2, 20, traders="c", after_ms=MINUTE_MS)
            await chain.beat(2 * MINUTE_MS)
            closed = await until(minute, lambda c: c.get("status") == "closed")
            assert (closed["trades"], closed["unique_traders"], closed["revision"]) == (2, 2, 1)
            await until(pool, lambda p: p.get("number") == 2)
            process.kill()  # with block 2 pending
            await asyncio.to_thread(process.wait, 30)
            await chain.undo(0)
        async with worker(kafka, tmp_path / "second"):
            emptied = await until(minute, lambda c: c.get("revision") == 2)
            assert (emptied["trades"], emptied["unique_traders"], emptied["volume"]) == (0, 0, "0")
            assert (emptied["status"], emptied["reason"]) == ("corrected", "reorg")
            assert (await until(figures, lambda f: f["trades"] == 0))["volume"] == "0"
            assert await tape() == []
            await until(pool, lambda p: p.get("status") == 404)

            await chain.block(1, 10, traders="d")
            await chain.settle(1, after_ms=MINUTE_MS)
            settled = await until(minute, lambda c: c.get("status") == "final")
            assert (settled["trades"], settled["unique_traders"], settled["reason"]) == (
                1,
                1,
                "reorg",
            )
            assert await tape() == [10]
            held = await until(pool, lambda p: p.get("is_final") is True)
            assert held["number"] == 1
            assert (await until(week, lambda c: c.get("trades") == 1))["status"] == "open"
