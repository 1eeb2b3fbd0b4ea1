"""Our own client against both real adapters: it resumes, and says what cannot be."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from sites import CHANNEL, TICKER, TRADES, Site, running_asgi, running_gateway

from chaintide.api.client import stream
from chaintide.api.live.effects import CLOSES, NO_PONG
from chaintide.api.live.limits import Limits
from chaintide.api.positions import Event, Positions, RefusedError, may_reconnect
from chaintide.api.sockets.admission import Admission
from chaintide.streams.errors import ConfigError, RetryableError

NOWHERE = "ws://127.0.0.1:9/ws/v1"


@pytest.fixture(params=[running_gateway, running_asgi], ids=["gateway", "asgi"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    async with request.param(Limits(), Admission()) as found:
        yield found


def url_of(site: Site) -> str:
    return f"ws://127.0.0.1:{site.port}/ws/v1"


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(60):
        return [await anext(events) for _ in range(count)]


def cut(site: Site) -> None:
    """Break every connection without a word."""
    for session in list(site.pump.hub.sessions):
        wire = site.pump._wires[session]
        transport = getattr(wire, "_transport", None)
        if transport is None:  # the ASGI server's own
            site.pump._carry_out(session, session._end(NO_PONG))
        else:
            transport.abort()


async def test_it_begins_with_a_snapshot_and_goes_on_with_updates(site):
    site.publish(CHANNEL, {"n": 1}, {"n": 2})
    async with aclosing(stream(url_of(site), CHANNEL)) as events:
        [snapshot] = await take(events, 1)
        assert (snapshot.type, snapshot.data) == ("snapshot", [{"n": 1}, {"n": 2}])
        site.publish(CHANNEL, {"n": 3})
        [update] = await take(events, 1)
        assert (update.ch, update.type, update.data) == (CHANNEL, "update", {"n": 3})
        assert update.seq > snapshot.seq


async def test_what_is_published_while_it_is_away_comes_once_and_in_order(site):
    breaks: list[str] = []
    site.publish(CHANNEL, {"n": 0})
    async with aclosing(stream(url_of(site), CHANNEL, on_break=breaks.append)) as events:
        assert (await take(events, 1))[0].type == "snapshot"
        for n in range(1, 10, 3):
            cut(site)
            site.publish(CHANNEL, {"n": n}, {"n": n + 1}, {"n": n + 2})
            came = await take(events, 3)
            assert [event.data["n"] for event in came] == [n, n + 1, n + 2]
            assert {event.type for event in came} == {"update"}
    assert len(breaks) == 3


async def test_of_trades_every_update_comes(site):
    async with aclosing(stream(url_of(site), TRADES, TICKER, snapshot=1)) as events:
        site.publish(TRADES, 0)
        site.publish(TICKER, 0)
        await take(events, 2)
        site.publish(TICKER, *range(1, 10))
        site.publish(TRADES, *range(1, 10))
        came = await take(events, 10)
        assert [e.data for e in came if e.ch == TRADES] == list(range(1, 10))
        assert [e.data for e in came if e.ch == TICKER] == [9]


async def test_a_snapshot_comes_again_when_the_log_is_another(site):
    site.publish(CHANNEL, {"n": 0})
    async with aclosing(stream(url_of(site), CHANNEL)) as events:
        await take(events, 1)
        site.pump.hub.directory.epoch = "other"
        cut(site)
        [event] = await take(events, 1)
        assert (event.type, event.data) == ("snapshot", [{"n": 0}])
        site.publish(CHANNEL, {"n": 1})
        assert (await take(events, 1))[0].data == {"n": 1}


async def test_several_channels_come_through_one_connection(site):
    site.publish(CHANNEL, 1)
    site.publish(TRADES, 2)
    async with aclosing(stream(url_of(site), CHANNEL, TRADES)) as events:
        assert {event.ch for event in await take(events, 2)} == {CHANNEL, TRADES}
        assert len(site.pump.hub.sessions) == 1


async def test_an_unknown_channel_is_an_error(site):
    with pytest.raises(RefusedError, match="no channel `ticker:unknown:X-USD`"):
        await take(stream(url_of(site), "ticker:unknown:X-USD"), 1)


async def test_a_server_that_is_not_there_is_an_error_that_says_what_to_do():
    with pytest.raises(ConfigError, match=r"no server at .*`chaintide up` starts one"):
        await take(stream(NOWHERE, CHANNEL), 1)
    with pytest.raises(ConfigError, match="no address of a WebSocket"):
        await take(stream("http://127.0.0.1:9/ws/v1", CHANNEL), 1)


@pytest.mark.parametrize("running", [running_gateway, running_asgi])
async def test_a_server_that_is_not_ready_is_asked_again(running):
    admission = Admission(is_open=False)
    breaks: asyncio.Queue[str] = asyncio.Queue()
    async with running(Limits(), admission) as site:
        site.publish(CHANNEL, 1)
        async with aclosing(stream(url_of(site), CHANNEL, on_break=breaks.put_nowait)) as events:
            first = asyncio.create_task(take(events, 1))
            assert "1013" in await breaks.get()
            admission.is_open = True
            assert (await first)[0].data == [1]


# ------------------------------------------------------------------- positions


def ack(seq: int, recovered: bool | None, epoch: str = "e") -> str:
    result = {"ch": CHANNEL, "epoch": epoch, "seq": seq, "recovered": recovered}
    return json.dumps({"id": 1, "ok": True, "results": [result]})


def event(kind: str, seq: int, prev: int | None = None) -> str:
    return json.dumps({"ch": CHANNEL, "type": kind, "seq": seq, "prev": prev, "data": []})


def resumed(positions: Positions) -> object:
    return json.loads(positions.request())["channels"][0].get("resume")


@pytest.fixture
def positions() -> Positions:
    made = Positions([CHANNEL], snapshot=5)
    made.request()
    made.on_line(ack(10, None))
    made.on_line(event("snapshot", 10))
    return made


def test_a_position_is_that_of_the_last_line_taken(positions):
    assert resumed(positions) == {"epoch": "e", "seq": 10}
    assert positions.on_line(event("correction", 12, 10)) is not None
    assert resumed(positions) == {"epoch": "e", "seq": 12}


def test_what_was_had_is_not_given_again(positions):
    positions.on_line(event("update", 12, 10))
    assert positions.on_line(event("update", 12, 10)) is None


def test_a_break_before_the_snapshot_that_was_announced_leaves_no_position(positions):
    positions.on_line(ack(20, recovered=False, epoch="f"))
    assert resumed(positions) is None
    positions.on_line(event("snapshot", 20))
    assert resumed(positions) == {"epoch": "f", "seq": 20}


def test_a_loss_is_never_passed_over(positions):
    with pytest.raises(RetryableError, match="do not follow on"):
        positions.on_line(event("update", 20, 15))
    assert resumed(positions) is None


def test_a_refusal_of_what_was_had_before_is_for_now(positions):
    refusal = {"id": 1, "ok": False, "error": {"code": 102, "message": "m", "temporary": False}}
    with pytest.raises(RetryableError):
        positions.on_line(json.dumps(refusal))
    with pytest.raises(RefusedError):
        Positions([CHANNEL], snapshot=5).on_line(json.dumps(refusal))


def test_who_goes_away_says_when_to_come_back(positions):
    positions.on_line('{"type":"goaway","reason":"shutdown","retry_after_ms":[500,8000]}')
    assert positions.retry_after_ms == (500, 8_000)


def test_the_client_reconnects_where_the_server_says_so():
    assert {c.code for c in CLOSES if may_reconnect(c.code)} == {
        c.code for c in CLOSES if c.may_reconnect
    }
