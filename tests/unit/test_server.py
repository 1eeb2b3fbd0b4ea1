"""What a serving process puts together around its state."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from serving import NOW_MS, backend_over
from websockets.asyncio.client import connect

from chaintide.api.broadcast import Broadcast
from chaintide.api.rest.app import with_edge
from chaintide.api.server import application, uvicorn_options
from chaintide.api.settings import Settings
from chaintide.api.sockets import asgi
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.pump import Clocks
from chaintide.sinks.memory import MemoryStore

App = Callable[..., Awaitable[Any]]

CLOCKS = Clocks(lambda: NOW_MS, lambda: NOW_MS)


@asynccontextmanager
async def running(app: App, **options: Any) -> AsyncIterator[str]:
    """Serve ``app`` and yield its host and port."""
    config = uvicorn.Config(app, **options)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


async def test_metrics_count_the_sockets_that_are_open():
    backend = backend_over(MemoryStore())
    broadcast = Broadcast(backend.reader, asgi.prepare, Admission(), CLOCKS)
    broadcast.admission.is_open = True
    app = application(backend, broadcast)
    clock = (lambda: NOW_MS, lambda: 0.0)
    edge = with_edge(app, per_minute=0, origins=frozenset(), clock=clock)

    async def counted() -> str:
        text = (await http.get(f"http://{address}/metrics")).text
        return next(line for line in text.splitlines() if line.startswith("chaintide_clients "))

    async with running(edge, **uvicorn_options(Settings())) as address, httpx.AsyncClient() as http:
        assert await counted() == "chaintide_clients 0.0"
        url = f"ws://{address}/ws/v1"
        async with connect(url) as one, connect(url) as two:
            for client in (one, two):
                await client.send(json.dumps({"id": 1, "op": "ping"}))
                await client.recv()
            assert await counted() == "chaintide_clients 2.0"
            await two.close()
            assert await counted() == "chaintide_clients 1.0"


async def addresses(scope: Any, _: Any, send: Any) -> None:
    """Answer with the address that a request is taken to come from."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["client"][0].encode()})


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        ("", "127.0.0.1"),
        ("10.0.0.0/8, 192.0.2.1", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9"),
        ("10.0.0.1, 127.0.0.0/8", "203.0.113.9"),
    ],
)
async def test_only_a_proxy_of_the_settings_may_say_whom_it_speaks_for(trusted: str, seen: str):
    options = uvicorn_options(Settings(trusted_proxies=trusted))
    async with running(addresses, **options) as address, httpx.AsyncClient() as http:
        headers = {"X-Forwarded-For": "203.0.113.9"}
        assert (await http.get(f"http://{address}/", headers=headers)).text == seen
