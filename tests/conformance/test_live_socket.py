"""What every socket adapter must do: one suite, both adapters, real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sites import CHANNEL, TICKER, TRADES, WALL_MS, Serving, Site, running_asgi, running_gateway
from unit.test_view_chains import POOL, PoolLog, held
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from chaintide.api.live.limits import Limits
from chaintide.api.sockets.admission import Admission


@pytest.fixture(params=[running_gateway, running_asgi], ids=["gateway", "asgi"])
def running(request: pytest.FixtureRequest) -> Serving:
    return request.param


@pytest.fixture
async def impatient(running: Serving) -> AsyncIterator[Site]:
    async with running(Limits(), Admission(), ping_s=0.5) as found:
        yield found


@pytest.fixture
async def site(running: Serving) -> AsyncIterator[Site]:
    async with running(Limits(), Admission()) as found:
        yield found


async def messages(client: ClientConnection, count: int) -> list[dict]:
    found: list[dict] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [json.loads(line) for line in (await client.recv()).split("\n")]
    return found


async def ask(client: ClientConnection, **request: object) -> list[dict]:
    await client.send(json.dumps({"id": 1, **request}))
    return await messages(client, 1)


async def subscribe(client: ClientConnection, *channels: dict) -> list[dict]:
    return await ask(client, op="subscribe", channels=list(channels))


async def code_of(client: ClientConnection) -> int:
    async with asyncio.timeout(60):
        with suppress(ConnectionClosed):
            while True:
                await client.recv()
        await client.wait_closed()
    return client.close_code


async def assert_healthy(site: Site) -> None:
    async with site.client() as client:
        assert (await ask(client, op="ping"))[0]["ok"] is True


async def test_a_client_gets_answer_snapshot_and_updates_in_order(site):
    site.publish(CHANNEL, {"n": 1}, {"n": 2})
    async with site.client() as client:
        await client.send(
            json.dumps({"id": 1, "op": "subscribe", "channels": [{"ch": CHANNEL, "snapshot": 1}]})
        )
        answer, snapshot = await messages(client, 2)
        assert answer["results"][0] | {"epoch": "k3f9", "seq": 2_000} == answer["results"][0]
        assert (snapshot["type"], snapshot["seq"], snapshot["data"]) == (
            "snapshot",
            2_000,
            [{"n": 2}],
        )
        site.publish(CHANNEL, {"n": 3}, {"n": 4})
        updates = await messages(client, 2)
        assert [(u["prev"], u["seq"], u["data"]) for u in updates] == [
            (2_000, 3_000, {"n": 3}),
            (3_000, 4_000, {"n": 4}),
        ]


async def test_what_is_published_at_once_comes_in_one_frame(site):
    async with site.client() as client:
        await subscribe(client, {"ch": CHANNEL}, {"ch": TICKER})
        site.publish(CHANNEL, 1, 2)
        site.publish(TICKER, 3)
        async with asyncio.timeout(60):
            frame = await client.recv()
        assert len(frame.split("\n")) == 3


async def test_a_reconnected_client_resumes_where_it_was(site):
    async with site.client() as client:
        await subscribe(client, {"ch": CHANNEL})
        site.publish(CHANNEL, 1)
        [update] = await messages(client, 1)
    site.publish(CHANNEL, 2, 3)
    async with site.client() as client:
        resume = {"epoch": "k3f9", "seq": update["seq"]}
        await client.send(
            json.dumps({"op": "subscribe", "channels": [{"ch": CHANNEL, "resume": resume}]})
        )
        answer, *missed = await messages(client, 3)
        assert answer["results"][0]["recovered"] is True
        assert [m["data"] for m in missed] == [2, 3]


async def test_a_long_snapshot_is_loaded_from_the_store(site):
    site.publish(CHANNEL, 3)
    site.log.stored = [b"1", b"2"]
    async with site.client() as client:
        await client.send(
            json.dumps({"op": "subscribe", "channels": [{"ch": CHANNEL, "snapshot": 3}]})
        )
        _, snapshot = await messages(client, 2)
        assert snapshot["data"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"binary", 1003),
        ('{"op":"ping","x":"' + "x" * 70_000 + '"}', 1009),
        ("{not json", 3501),
    ],
)
async def test_what_cannot_be_understood_closes_with_its_code(site, sent, code):
    async with site.client() as client:
        await client.send(sent)
        assert await code_of(client) == code
    await assert_healthy(site)


async def test_text_that_is_not_utf_8_closes_with_1007(site):
    async with site.client() as client:
        client.transport.write(b"\x81\x82\x00\x00\x00\x00\xff\xff")
        assert await code_of(client) == 1007
    await assert_healthy(site)


async def test_too_many_channels_are_refused_and_the_connection_lives(site):
    async with site.client() as client:
        channels = [{"ch": f"ticker:kraken:M{n}-USD"} for n in range(200)]
        [answer] = await subscribe(client, *channels)
        assert (answer["ok"], answer["error"]["temporary"]) == (False, False)
        assert "128" in answer["error"]["message"]
        [answer] = await subscribe(client, {"ch": "ticker:unknown:X-USD"})
        assert answer["ok"] is False
        assert (await ask(client, op="list"))[0]["results"] == []


async def test_a_bad_token_is_an_error_not_an_end(site):
    async with site.client() as client:
        [answer] = await ask(client, op="auth", token="stolen")
        assert answer["ok"] is False
        assert (await ask(client, op="ping"))[0]["ok"] is True


async def test_a_flood_is_ended(site):
    async with site.client() as client:
        for _ in range(40):
            await client.send('{"op":"ping"}')
        assert await code_of(client) == 3013
    await assert_healthy(site)


async def test_requests_may_be_sent_without_waiting_for_answers(site):
    channels = [f"ticker:kraken:M{n}-USD" for n in range(16)]
    for channel in channels:
        site.publish(channel, "x" * 100_000)
    async with site.client(max_size=None) as client:
        for channel in channels:
            wanted = [{"ch": channel, "snapshot": 1}]
            request = {"id": 1, "op": "subscribe", "channels": wanted}
            client.protocol.send_text(json.dumps(request).encode())
        client.transport.write(b"".join(client.protocol.data_to_send()))
        came = [m["ch"] for m in await messages(client, 32) if m.get("type") == "snapshot"]
        assert came == channels


async def test_a_page_of_another_origin_is_refused(site):
    for other in ("https://elsewhere.example", "null", "http://["):
        async with site.client(origin=other) as client:
            assert await code_of(client) == 1008, other
    async with site.client(origin=f"http://127.0.0.1:{site.port}") as client:
        assert (await ask(client, op="ping"))[0]["ok"] is True


async def test_more_connections_than_allowed_are_sent_away(running):
    async with running(Limits(), Admission(per_address=1)) as site:
        async with site.client(), site.client() as second:
            assert await code_of(second) == 1013
        await asyncio.sleep(0.1)
        await assert_healthy(site)


async def test_a_pong_says_what_the_clock_on_the_wall_says(site):
    async with site.client() as client:
        [pong] = await ask(client, op="ping")
    assert pong["t"] == WALL_MS


async def test_a_client_that_never_pongs_is_dropped(impatient):
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    writer.write(
        f"GET /ws/v1 HTTP/1.1\r\nHost: 127.0.0.1:{impatient.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    assert len(impatient.pump.hub.sessions) == 1
    async with asyncio.timeout(60):
        while impatient.pump.hub.sessions:
            impatient.skipped_ms += 5_000
            await asyncio.sleep(0.2)
    writer.close()
    await assert_healthy(impatient)


async def test_a_client_that_answers_pings_stays(impatient):
    async with impatient.client() as client:
        for _ in range(12):
            impatient.skipped_ms += 3_000
            await asyncio.sleep(0.2)
        assert len(impatient.pump.hub.sessions) == 1
        assert client.close_code is None


@pytest.mark.parametrize("policy", ["buffer", "latest"])
async def test_a_stalled_client_delays_nobody(running, policy):
    limits = Limits(history_updates=40)
    async with (
        running(limits, Admission()) as site,
        site.client(max_queue=1, max_size=None) as stalled,
    ):
        stalled.transport.pause_reading()
        await stalled.send(
            json.dumps({"op": "subscribe", "channels": [{"ch": TRADES, "policy": policy}]})
        )
        async with site.client() as other:
            await subscribe(other, {"ch": TRADES, "policy": "buffer"})
            big = "x" * 100_000
            for n in range(200):
                site.publish(TRADES, {"n": n, "big": big})
                [update] = await messages(other, 1)
                assert update["data"]["n"] == n
        stalled.transport.resume_reading()
        if policy == "buffer":
            assert await code_of(stalled) == 3008
        else:
            newest = -1
            async with asyncio.timeout(60):
                while newest != 199:
                    for line in (await stalled.recv()).split("\n"):
                        message = json.loads(line)
                        if message.get("type") == "update":
                            newest = message["data"]["n"]
                        elif message.get("type") == "snapshot":
                            newest = message["data"][-1]["n"]
        await assert_healthy(site)


async def test_however_much_comes_at_once_whoever_reads_gets_every_update(running):
    async with (
        running(Limits(history_updates=40), Admission()) as site,
        site.client() as client,
    ):
        await subscribe(client, {"ch": CHANNEL, "policy": "buffer"})
        site.publish(CHANNEL, *range(19))
        site.publish(CHANNEL, *range(19, 59))
        assert [update["data"] for update in await messages(client, 59)] == list(range(59))


async def test_who_waits_for_its_turn_costs_nothing_until_then(site, monkeypatch):
    async with site.client() as client, site.client() as other:
        await subscribe(client, {"ch": CHANNEL, "max_hz": 1})
        await subscribe(other, {"ch": CHANNEL})
        site.publish(CHANNEL, 1)
        await messages(client, 1)
        await messages(other, 1)
        flushes = []
        flush = site.pump._flush
        monkeypatch.setattr(site.pump, "_flush", lambda: flushes.append(flush()))
        site.publish(CHANNEL, 2)
        assert [update["data"] for update in await messages(client, 1)] == [2]
        assert len(flushes) < 6


async def test_everybody_is_told_before_the_end(running):
    async with running(Limits(), Admission()) as site:
        client = await site.client()
        await subscribe(client, {"ch": TICKER})
    async with asyncio.timeout(60):
        assert json.loads(await client.recv())["type"] == "goaway"
    assert await code_of(client) == 3001


async def test_a_pool_is_told_resumed_and_corrected_where_a_block_is_replaced(site):
    log = PoolLog()
    site.pump.hub.directory.snapshots = log.view
    site.pump.publish(log.say(held((5, "a", 7))))
    channel = f"views:{POOL}"
    async with site.client() as client:
        request = {"op": "subscribe", "channels": [{"ch": channel, "snapshot": 1}]}
        await client.send(json.dumps(request))
        answer, snapshot = await messages(client, 2)
        assert [pool["number"] for pool in snapshot["data"]] == [5]
    site.pump.publish(log.say(held((5, "a", 7), (6, "b", 8), offset=1)))
    async with site.client() as client:
        resume = {key: answer["results"][0][key] for key in ("epoch", "seq")}
        await client.send(
            json.dumps({"op": "subscribe", "channels": [{"ch": channel, "resume": resume}]})
        )
        answer, missed = await messages(client, 2)
        assert answer["results"][0]["recovered"] is True
        assert (missed["type"], missed["data"]["number"]) == ("update", 6)
        site.pump.publish(log.say(held((5, "a", 7), offset=2)))
        site.pump.publish(log.say(held(offset=3)))
        corrected, retracted = await messages(client, 2)
        assert (corrected["type"], corrected["data"]["number"]) == ("correction", 5)
        assert (retracted["type"], retracted["data"]) == ("retraction", {"above_block": 4})
        assert retracted["prev"] == corrected["seq"]
