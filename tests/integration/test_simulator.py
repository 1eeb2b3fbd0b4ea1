"""The simulated exchange over real sockets, each of its faults as a client sees it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from chaintide.streams.simulator.exchange import Settings
from chaintide.streams.simulator.server import Simulator, run
from chaintide.streams.simulator.trades import MARKETS

SETTINGS = Settings(markets=MARKETS[:1], rate=150.0)


def now_us() -> int:
    return time.time_ns() // 1000


class Client:
    """A subscriber that trusts nobody: it keeps every message it was sent."""

    def __init__(self, port: int, http: aiohttp.ClientSession) -> None:
        self.port, self.http = port, http

    def connect(self) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}/v2", ping_interval=None, close_timeout=0.2)

    @asynccontextmanager
    async def subscribed(self) -> AsyncIterator[ClientConnection]:
        async with self.connect() as socket:
            params = {"channel": "trade", "symbol": ["BTC/USD"]}
            await socket.send(json.dumps({"method": "subscribe", "params": params}))
            yield socket

    async def fault(self, name: str, **parameters: object) -> None:
        url = f"http://127.0.0.1:{self.port}/control/faults/{name}"
        async with self.http.post(url, json=parameters) as answer:
            assert answer.status == 200, await answer.text()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.text()

    async def truth(self) -> list[int]:
        _, text = await self.get("/control/trades?pair=XBTUSD")
        return [int(line.split(",")[1]) for line in text.splitlines()[1:]]

    async def backfill(self) -> list[int]:
        _, text = await self.get("/0/public/Trades?pair=XBTUSD")
        return [row[6] for row in json.loads(text)["result"]["XXBTZUSD"]]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    simulator = Simulator(SETTINGS, now_us=now_us)
    async with aiohttp.ClientSession() as http:
        yield Client(await simulator.start(), http)
    await simulator.stop()


async def next_trades(socket: ClientConnection, kind: str = "update") -> list[int]:
    """Return the ids in the next frame of the trade channel."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 5))
        if message.get("channel") == "trade" and message["type"] == kind:
            return [row["trade_id"] for row in message["data"]]


async def listen(socket: ClientConnection, trades: int = 60) -> list[int]:
    """Return the ids of the snapshot and of at least so many more trades."""
    ids = await next_trades(socket, "snapshot")
    while len(ids) < 50 + trades:
        ids += await next_trades(socket)
    return ids


async def hear_nothing(socket: ClientConnection) -> None:
    """Read what is under way until the socket has been silent for a second."""
    with suppress(TimeoutError):
        while True:
            await asyncio.wait_for(socket.recv(), 1)


def gaps(ids: list[int]) -> list[int]:
    """Return the ids that are missing among sorted ``ids``."""
    return sorted(set(range(min(ids), max(ids) + 1)) - set(ids))


async def test_trades_follow_the_snapshot_without_a_gap(client: Client):
    async with client.subscribed() as socket:
        ids = await listen(socket)
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    truth = await client.truth()
    assert set(ids) <= set(truth)
    assert truth == list(range(truth[0], truth[0] + len(truth)))


async def test_pings_of_both_kinds_are_answered(client: Client):
    async with client.connect() as socket:
        await asyncio.wait_for(await socket.ping(), 5)
        await socket.send('{"method":"ping","req_id":7}')
        await socket.recv()
        assert json.loads(await socket.recv())["method"] == "pong"


async def test_drop_cuts_the_connection_and_the_next_one_works(client: Client):
    async with client.subscribed() as socket:
        await client.fault("drop")
        with pytest.raises(websockets.ConnectionClosed):
            await listen(socket, 10_000)
    async with client.subscribed() as socket:
        await listen(socket)


async def test_freeze_silences_the_connection_but_not_the_next_one(client: Client):
    async with client.subscribed() as socket:
        await next_trades(socket)
        await client.fault("freeze", seconds=60)
        pong = await socket.ping()
        await socket.send('{"method":"ping"}')
        await asyncio.wait_for(hear_nothing(socket), 5)
        assert not pong.done()
        async with client.subscribed() as other:
            await listen(other)


async def test_a_freeze_thaws_and_has_lost_trades(client: Client):
    async with client.subscribed() as socket:
        ids = await listen(socket)
        await client.fault("freeze", seconds=1)
        ids += [trade_id for _ in range(40) for trade_id in await next_trades(socket)]
    assert gaps(ids)


async def test_replay_repeats_the_last_fifty(client: Client):
    async with client.subscribed() as socket:
        ids = await listen(socket)
        await client.fault("replay")
        for _ in range(40):
            ids += await next_trades(socket)
    assert len(ids) - len(set(ids)) == 50


async def test_skip_leaves_a_gap_that_rest_fills(client: Client):
    async with client.subscribed() as socket:
        ids = await listen(socket, 1)
        await client.fault("skip", count=7)
        for _ in range(40):
            ids += await next_trades(socket)
    assert len(gaps(ids)) == 7
    assert set(gaps(ids)) <= set(await client.backfill())


async def test_skip_refused_leaves_a_gap_that_nobody_fills(client: Client):
    async with client.subscribed() as socket:
        ids = await listen(socket, 1)
        await client.fault("skip_refused", count=7)
        for _ in range(40):
            ids += await next_trades(socket)
    assert len(gaps(ids)) == 7
    assert not set(gaps(ids)) & set(await client.backfill())
    assert set(gaps(ids)) <= set(await client.truth())


async def test_reorder_tells_trades_backwards(client: Client):
    async with client.subscribed() as socket:
        await next_trades(socket, "snapshot")
        await client.fault("reorder", count=10)
        ids = [trade_id for _ in range(40) for trade_id in await next_trades(socket)]
    assert ids != sorted(ids)
    assert not gaps(ids)


async def test_duplicate_tells_trades_twice(client: Client):
    async with client.subscribed() as socket:
        await next_trades(socket, "snapshot")
        await client.fault("duplicate", count=10)
        ids = [trade_id for _ in range(40) for trade_id in await next_trades(socket)]
    assert 10 <= len(ids) - len(set(ids)) < 30


async def test_malformed_frames_are_followed_by_whole_ones(client: Client):
    async with client.subscribed() as socket:
        await next_trades(socket, "snapshot")
        await client.fault("malformed", count=7)
        broken = 0
        for _ in range(40):
            try:
                await next_trades(socket)
            except (ValueError, TypeError):
                broken += 1
        assert broken == 2  # no JSON, and data that is a number; the rest only looks whole


async def test_rate_limit_is_said_in_both_ways(client: Client):
    await client.fault("rate_limit", seconds=60)
    first, second = await client.get("/0/public/Time"), await client.get("/0/public/Time")
    assert [first[0], second[0]] == [429, 200]
    assert all(
        json.loads(text) == {"error": ["EAPI:Rate limit exceeded"]} for _, text in (first, second)
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("nothing", "{}"),
        ("skip", "[]"),
        ("skip", "{"),
        ("skip", '{"count":0}'),
        ("skip", '{"n":1}'),
    ],
)
async def test_a_bad_switch_is_a_bad_request(client: Client, path: str, body: str):
    url = f"http://127.0.0.1:{client.port}/control/faults/{path}"
    async with client.http.post(url, data=body) as answer:
        assert answer.status == 400


async def test_the_truth_about_an_unknown_pair_is_not_found(client: Client):
    assert (await client.get("/control/trades?pair=NOUSD"))[0] == 404


async def test_run_announces_its_port_and_ends_when_cancelled():
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(SETTINGS, now_us=now_us, port=0, announce=port.set_result))
    async with aiohttp.ClientSession() as http:
        client = Client(await port, http)
        assert (await client.get("/0/public/Time"))[0] == 200
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/0/public/Time")
