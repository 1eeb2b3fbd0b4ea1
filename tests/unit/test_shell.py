"""The shell against a small venue on loopback that speaks Kraken v2."""

import asyncio
import contextlib
import json
import time
from datetime import UTC, datetime

import pytest
from websockets.asyncio.server import serve

from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds.adapter import Mark, Venue
from chaintide.streams.feeds.kraken import VENUE, Kraken
from chaintide.streams.feeds.outbox import MemoryOutbox
from chaintide.streams.feeds.sequence import SequenceLogic
from chaintide.streams.feeds.shell import Feed
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import DeadLetter, Gap, Heartbeat, Market

MARKET = Market("kraken:BTC-USD")
START_S = 1_700_000_000


def trade_json(trade_id: int) -> dict[str, object]:
    at = datetime.fromtimestamp(START_S + trade_id, UTC)
    return {
        "symbol": "BTC/USD",
        "side": "buy",
        "price": 100.5,
        "qty": 0.25,
        "ord_type": "market",
        "trade_id": trade_id,
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


class TinyVenue:
    """A WebSocket and a REST of one market; what was traded is ``ids``."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.sockets = []
        self.subscriptions = 0
        self.replayed = 50
        self.is_refusing = False

    async def talk(self, socket) -> None:
        await socket.recv()
        self.subscriptions += 1
        ack = {"method": "subscribe", "success": True, "result": {"symbol": "BTC/USD"}}
        await socket.send(json.dumps(ack))
        if self.replayed:
            await self.say(socket, self.ids[-self.replayed :], "snapshot")
        self.sockets.append(socket)
        await socket.wait_closed()

    async def say(self, socket, ids, kind="update") -> None:
        data = [trade_json(i) for i in ids]
        await socket.send(json.dumps({"channel": "trade", "type": kind, "data": data}))

    async def trade(self, *ids: int) -> None:
        self.ids += ids
        for socket in self.sockets:
            await self.say(socket, ids)

    async def cut(self) -> None:
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            await socket.close()

    async def get(self, request) -> bytes:
        if self.is_refusing:
            raise BadRecordError("HTTP 403")
        since_s = int(request.params["since"]) / 1e9
        rows = [
            ["100.50000", "0.25000000", START_S + i, "b", "m", "", i]
            for i in self.ids
            if START_S + i > since_s
        ]
        result = {"XXBTZUSD": rows, "last": "0"}
        return json.dumps({"error": [], "result": result}).encode()


class Run:
    def __init__(self, venue: TinyVenue, url: str, last: Mark | None, described: Venue) -> None:
        adapter = Kraken()
        adapter.venue = described
        self.outbox = MemoryOutbox()
        self.late_ms = 0
        self.status = FeedStatus("kraken", [MARKET])
        self.feed = Feed(
            adapter=adapter,
            ws_url=url,
            sequences={"BTC/USD": SequenceLogic(MARKET, last)},
            outbox=self.outbox,
            rest=venue,
            now_ms=lambda: int(time.time() * 1000) + self.late_ms,
            random=lambda: 0.0,
            status=self.status,
        )

    def ids(self) -> list[int]:
        return [trade.id for trade in self.outbox.trades.get(MARKET, [])]

    def told(self, kind):
        return [notice for notice in self.outbox.notices if isinstance(notice, kind)]


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the feed has no event for this
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(venue: TinyVenue, last: Mark | None = None, described: Venue = VENUE):
    async with serve(venue.talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        run = Run(venue, f"ws://127.0.0.1:{port}/v2", last, described)
        task = asyncio.create_task(run.feed.run())
        try:
            await until(lambda: task.done() or venue.sockets)
            yield run
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def venue() -> TinyVenue:
    return TinyVenue()


async def test_replay_and_live_trades_come_once_and_a_promise_follows(venue):
    venue.ids = [1, 2, 3]
    async with running(venue) as run:
        await venue.trade(3, 4)
        await venue.trade(5)
        await until(lambda: run.ids() == [1, 2, 3, 4, 5] and run.told(Heartbeat))
        assert run.told(Heartbeat)[0].venue == "kraken"
        await until(lambda: run.status.duplicates == 1)
        assert (run.status.trades, run.status.state) == (5, "live")


async def test_a_restart_backfills_from_its_mark(venue):
    venue.ids, venue.replayed = [1, 2, 3, 4], 0
    async with running(venue, last=Mark(2, (START_S + 2) * 1_000_000)) as run:
        await until(lambda: run.ids() == [3, 4])


async def test_what_was_traded_while_cut_off_is_backfilled(venue):
    venue.ids, venue.replayed = [1], 1
    async with running(venue) as run:
        await until(lambda: run.ids() == [1])
        await venue.cut()
        venue.ids += [2, 3, 4, 5]
        await until(lambda: venue.subscriptions == 2)
        await until(lambda: run.ids() == [1, 2, 3, 4, 5])
        assert run.told(Gap) == []


async def test_a_jump_is_backfilled_and_a_refusal_is_a_gap(venue):
    venue.ids = [1]
    async with running(venue) as run:
        await until(lambda: run.ids() == [1])
        venue.ids.append(2)
        await venue.trade(3)
        await until(lambda: run.ids() == [1, 2, 3])
        venue.is_refusing = True
        venue.ids.append(4)
        await venue.trade(5)
        await until(lambda: run.ids() == [1, 2, 3, 5])
        assert run.told(Gap)[0].reason == "HTTP 403"
        venue.is_refusing = False
        await until(lambda: run.ids() == [1, 2, 3, 5, 4] and len(run.told(Gap)) == 2)
        assert run.told(Gap)[1].filled


async def test_a_malformed_message_is_a_dead_letter_and_the_feed_goes_on(venue):
    venue.ids = [1]
    async with running(venue) as run:
        await venue.sockets[0].send('{"channel":"trade","data":[{"symbol":7}]}')
        await venue.sockets[0].send("what?")
        await venue.trade(2)
        await until(lambda: run.ids() == [1, 2])
        letters = run.told(DeadLetter)
        assert [(x.topic, x.partition, x.offset) for x in letters] == [
            ("venue:kraken", -1, 0),
            ("venue:kraken", -1, 1),
        ]
        assert letters[1].value == "what?"
        assert run.status.bad_messages == 2


async def test_a_frozen_socket_is_replaced(venue):
    venue.ids = [1]
    async with running(venue) as run:
        await until(lambda: run.ids() == [1])
        run.late_ms = 8_000
        await until(lambda: venue.subscriptions == 2)
        assert run.status.last_error == "frozen"


async def test_a_pinged_socket_stays_without_messages(venue):
    venue.ids = [1]
    pinged = Venue(name="kraken", ws_url="", rest_url="", rest_per_minute=60, has_heartbeats=False)
    async with running(venue, described=pinged) as run:
        await until(lambda: run.ids() == [1])
        for _ in range(3):
            beats = len(run.told(Heartbeat))
            run.late_ms += 4_000
            await until(lambda beats=beats: len(run.told(Heartbeat)) > beats)
        assert venue.subscriptions == 1


async def test_a_planned_reconnect_overlaps_and_loses_nothing(venue):
    venue.ids = [1]
    old = Venue(name="kraken", ws_url="", rest_url="", rest_per_minute=60, max_age_s=0.2)
    async with running(venue, described=old) as run:
        for trade_id in range(2, 30):
            with contextlib.suppress(Exception):
                await venue.trade(trade_id)
            await asyncio.sleep(0.02)
        await until(lambda: run.ids() == list(range(1, 30)))
        assert venue.subscriptions >= 2
        assert run.told(Gap) == []
        assert run.status.last_error == ""
