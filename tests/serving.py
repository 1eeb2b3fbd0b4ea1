"""A REST API to test with: real state, a real store, no sockets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from candles import MARKET, batch

from chaintide.api.loading import load_days
from chaintide.api.rest.app import new_app, with_edge
from chaintide.api.rest.backend import Backend
from chaintide.api.rest.readiness import Surroundings
from chaintide.api.state.view import LogRecord, View
from chaintide.sinks.candle_store import CandleStore
from chaintide.sinks.sqlite import SqliteStore
from chaintide.streams import codec, topics
from chaintide.streams.records import Candle, Gap

NOW_MS = 1_761_990_400_000


@dataclass
class Followed:
    """A follower that has read everything."""

    epoch: str = "k3f9a0c1"
    lack: str = ""


@dataclass
class Served:
    """A client, and what it is served from."""

    http: httpx.AsyncClient
    backend: Backend
    app: Any
    store: SqliteStore
    offset: int = 100

    async def stored(self, *candles: Candle, gaps: Sequence[Gap] = ()) -> None:
        """Let the store have ``candles``, and the view know of them."""
        self.offset += 1
        await self.store.write([batch(*candles, gaps=list(gaps), offset=self.offset)])
        await load_days(self.backend.view, self.store)

    def told(self, *candles: Candle) -> None:
        """Let the topic say ``candles``."""
        self.record(topics.CANDLES, batch(*candles, offset=self.offset))

    def record(self, topic: topics.Topic, value: object) -> None:
        """Let a topic say ``value``."""
        self.offset += 1
        record = LogRecord(topic.name, self.offset, NOW_MS, codec.encode(value))
        assert self.backend.view.on_record(record) is not None

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        """Return the answer to a GET; ``None`` leaves a parameter out, ``_`` ends are dropped."""
        given = {k.rstrip("_"): v for k, v in parameters.items() if v is not None}
        return await self.http.get(path, params=given)


def backend_over(store: CandleStore) -> Backend:
    """Return what routes need, over ``store``."""
    return Backend(
        view=View(),
        store=store,
        following=Followed(),
        now_ms=lambda: NOW_MS,
        cursor_key=b"key",
        is_loaded=True,
        surroundings=Surroundings("", "", {"worker": 0, "sink": 0}),
    )


@asynccontextmanager
async def serving(
    folder: Path, *, per_minute: int = 0, origins: frozenset[str] = frozenset()
) -> AsyncIterator[Served]:
    """Yield an API over an empty store in ``folder``."""
    store, clock = SqliteStore(folder / "test.sqlite"), iter(range(10**9))
    backend = backend_over(store)
    app = new_app(backend)
    edge = with_edge(
        app,
        per_minute=per_minute,
        origins=origins,
        clock=(lambda: NOW_MS, lambda: next(clock) / 1000),
    )
    transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Served(http, backend, edge, store)
    await store.close()


__all__ = ["MARKET", "NOW_MS", "Served", "backend_over", "serving"]
