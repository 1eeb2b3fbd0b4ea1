"""New heads wake a follower over a WebSocket, which may end at any time."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chainrig import live_chain
from websockets.asyncio.server import ServerConnection, serve

from chaintide.streams.chain.wakeup import wake_on_heads

NOTICE = json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": {"result": {}}})


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[asyncio.Event]:
    wake = asyncio.Event()
    task = asyncio.create_task(wake_on_heads(url, wake, lambda: 0.0))
    try:
        yield wake
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def awake(wake: asyncio.Event) -> None:
    async with asyncio.timeout(60):
        await wake.wait()
    wake.clear()


async def test_a_socket_that_ends_or_talks_nonsense_is_replaced():
    said = asyncio.Queue[str]()
    lives = 0

    async def node(socket: ServerConnection) -> None:
        nonlocal lives
        lives += 1
        assert json.loads(await socket.recv())["params"] == ["newHeads"]
        for text in ("nonsense", json.dumps({"id": 1, "result": "0x1"}), NOTICE):
            await socket.send(text)
        await said.get()

    async with serve(node, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with listening(f"ws://127.0.0.1:{port}") as wake:
            for life in (1, 2, 3):
                await awake(wake)
                assert lives == life
                said.put_nowait("end")
        said.put_nowait("end")


async def test_a_socket_that_does_not_open_does_no_harm():
    async with listening("ws://127.0.0.1:1") as wake:
        await asyncio.sleep(0)
        assert not wake.is_set()


async def test_a_real_node_tells_of_each_block(tmp_path):
    with live_chain(tmp_path) as chain:
        async with listening(chain.config.ws) as wake:
            async with asyncio.timeout(60):
                while not wake.is_set():  # it may not have subscribed yet
                    await asyncio.to_thread(chain.step)
                    await asyncio.sleep(0.05)
            wake.clear()
            await asyncio.to_thread(chain.step)
            await awake(wake)
