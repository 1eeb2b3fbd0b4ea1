"""A thousand clients whose lines are cut, and one that does not read, while much is published."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crowd import LAST
from websockets.asyncio.client import connect

from chaintide.api.live.directory import Directory
from chaintide.api.live.hub import Hub
from chaintide.api.live.update import Snapshot, Update
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.gateway import Address, GatewayPump, serving, text_frame
from chaintide.api.sockets.pump import Clocks

CROWD = Path(__file__).parent.parent / "crowd.py"
MB = 1 << 20
pytestmark = pytest.mark.slow


@dataclass
class Exchange:
    """Markets whose every trade is one update of ``trades`` and one of ``ticker``."""

    published: dict[str, dict[int, int]] = field(default_factory=dict)
    newest: dict[str, bytes] = field(default_factory=dict)
    seq: int = 0

    def trade(self, market: str, n: int, padding: str = "") -> Iterator[Update]:
        data = json.dumps({"n": n, "padding": padding}).encode()
        for kind in ("trades", "ticker"):
            self.seq += 1_000
            channel = f"{kind}:{market}"
            self.published.setdefault(channel, {})[self.seq] = n
            self.newest[channel] = data
            yield Update(
                channel=channel,
                seq=self.seq,
                key=kind,
                type="update",
                event_ms=self.seq,
                published_ms=self.seq,
                data=data,
            )

    def snapshot(self, channel: str, count: int) -> Snapshot:
        seq = max(self.published.get(channel, {}), default=0)
        return Snapshot(seq, [self.newest[channel]] if count and seq else [])


async def load(_channel: str, _count: int) -> None:
    raise AssertionError("all there is, is at hand")


@asynccontextmanager
async def gateway(exchange: Exchange) -> AsyncIterator[tuple[GatewayPump, int]]:
    def now_ms() -> int:
        return time.monotonic_ns() // 1_000_000

    hub = Hub(Directory("k3f9", exchange), jitter=lambda: 0.5)
    pump = GatewayPump(hub, text_frame, load, Clocks(now_ms, now_ms))
    ticking = asyncio.create_task(pump.run())
    async with serving(pump, Admission(per_address=5_000), Address("127.0.0.1", 0)) as port:
        yield pump, port
    ticking.cancel()


@asynccontextmanager
async def crowd(*arguments: int) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, str(CROWD), *map(str, arguments)]
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, limit=1 << 28
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def assert_all_came(got: dict, published: dict[int, int]) -> None:
    """Every update after the first position came once, or was said to be left out."""
    assert (got["jumps"], got["repeats"], got["restarts"]) == (0, 0, 0), got["channel"]
    due = {seq: n for seq, n in published.items() if seq > got["first"]}
    came = dict(zip(got["seqs"], got["numbers"], strict=True))
    assert len(came) == len(got["seqs"])
    assert came.items() <= due.items()
    assert max(came) == max(due)
    assert len(came) + got["conflated"] == len(due)
    if got["channel"].startswith("trades"):
        assert got["conflated"] == 0


async def test_whoever_is_cut_off_resumes_without_loss_or_repetition():
    clients, kills, markets = 1_000, 2, 50
    exchange = Exchange()
    async with gateway(exchange) as (pump, port), crowd(port, clients, kills, markets) as child:
        resumed = asyncio.create_task(child.stdout.readline())
        n = 0
        async with asyncio.timeout(150):
            while not resumed.done():
                n += 1
                pump.publish(exchange.trade(f"sim:M{n % markets}-USD", n))
                await asyncio.sleep(0.004)
            assert resumed.result() == b"resumed\n"
            for market in range(markets):
                pump.publish(exchange.trade(f"sim:M{market}-USD", LAST))
            found = json.loads(await child.stdout.readline())
        assert await child.wait() == 0
    assert len(found) == clients * 2
    for got in found:
        assert_all_came(got, exchange.published[got["channel"]])
    assert sum(len(got["seqs"]) for got in found) > clients * 2 * 10


async def test_who_does_not_read_costs_others_nothing_and_the_server_little():
    updates, padding = 6_000, "x" * 10_000
    exchange = Exchange()
    async with gateway(exchange) as (pump, port), crowd(port, 10, 0, 1) as child:
        url = f"ws://127.0.0.1:{port}/ws/v1"
        async with connect(url, compression=None, max_queue=1, max_size=None) as stalled:
            stalled.transport.pause_reading()
            wanted = [{"ch": "trades:sim:M0-USD"}]
            await stalled.send(json.dumps({"id": 1, "op": "subscribe", "channels": wanted}))
            async with asyncio.timeout(150):
                assert await child.stdout.readline() == b"resumed\n"
                held = []
                for n in range(1, updates + 1):
                    pump.publish(exchange.trade("sim:M0-USD", n, padding))
                    if not n % 20:
                        await others_have_all(pump)
                        held.append(rss_bytes())
                pump.publish(exchange.trade("sim:M0-USD", LAST))
                found = json.loads(await child.stdout.readline())
                assert await child.wait() == 0
                stalled.transport.resume_reading()
                behind = await newest_of(stalled)
    for got in found:
        assert_all_came(got, exchange.published[got["channel"]])
    assert behind == LAST
    grown = max(held) - held[len(held) // 10]
    assert grown < 24 * MB, f"{grown / MB:.0f} MiB more for {updates * len(padding) / MB:.0f} MiB"


async def others_have_all(pump: GatewayPump) -> None:
    head = {name: fanout.history.head for name, fanout in pump.hub.directory.fanouts.items()}
    while any(  # noqa: ASYNC110 - the hub has no event for that
        held.seq != head[name]
        for session in pump.hub.sessions
        if len(session.subscriptions) == 2
        for name, held in session.subscriptions.items()
    ):
        await asyncio.sleep(0.001)


async def newest_of(client: connect) -> int:
    """Return the number of the last update, having checked that what is missing was declared."""
    position = None
    while True:
        for line in (await client.recv()).split("\n"):
            message = json.loads(line)
            if "results" in message:
                position = message["results"][0]["seq"]
            elif message["type"] == "snapshot":
                assert message["recovered"] is False
                position = message["seq"]
                if (n := message["data"][-1]["n"]) == LAST:
                    return n
            elif message["type"] == "update":
                assert message["prev"] == position
                position = message["seq"]
                if (n := message["data"]["n"]) == LAST:
                    return n


def rss_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
