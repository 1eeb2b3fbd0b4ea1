"""InfluxDB going away, coming back, and getting everything twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import web
from candles import MARKET, batch, candle, gap
from influxd import Influxd

from chaintide.sinks import influx as shell
from chaintide.sinks.influx import InfluxConfig, InfluxStore
from chaintide.streams.errors import ConfigError, FatalError, RetryableError
from chaintide.streams.records import CandleBatch

BATCHES = [batch(candle(i // 3, close=str(i)), offset=i) for i in range(90)]
ANSWERS = [
    (429, {"Retry-After": "17"}, RetryableError, 17.0),
    (503, {"Retry-After": "3"}, RetryableError, 3.0),
    (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, RetryableError, 1.0),
    (500, {}, RetryableError, 1.0),
    (401, {}, ConfigError, None),
    (404, {}, ConfigError, None),
    (400, {}, FatalError, None),
    (422, {}, FatalError, None),
]


@pytest.fixture
async def store(mortal_influx: Influxd) -> AsyncIterator[InfluxStore]:
    made = open_bucket(mortal_influx, mortal_influx.new_bucket())
    yield made
    await made.close()


def open_bucket(server: Influxd, bucket: str) -> InfluxStore:
    return InfluxStore(InfluxConfig(server.url, server.org, bucket, server.token))


async def write_until_stored(store: InfluxStore, batches: Sequence[CandleBatch]) -> int:
    """Write as the sink does; return how often it failed."""
    failures = 0
    while True:
        try:
            await store.write(batches)
        except RetryableError:
            failures += 1
            await asyncio.sleep(0.1)
        else:
            return failures


@pytest.mark.influx
async def test_nothing_is_lost_when_it_is_killed(mortal_influx: Influxd, store: InfluxStore):
    await store.write(BATCHES[:30])
    mortal_influx.kill()
    writing = asyncio.create_task(write_until_stored(store, BATCHES[30:]))
    await asyncio.sleep(0.5)
    with pytest.raises(RetryableError):
        await store.candles(MARKET, "1m")
    await asyncio.to_thread(mortal_influx.start)
    assert await asyncio.wait_for(writing, 30) > 0
    found = await store.candles(MARKET, "1m")
    assert [c.close for c in found] == [str(3 * minute + 2) for minute in range(30)]


@pytest.mark.influx
async def test_nothing_is_lost_when_it_hangs(
    mortal_influx: Influxd, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shell, "TIMEOUT_MS", 500)
    store = open_bucket(mortal_influx, mortal_influx.new_bucket())
    mortal_influx.freeze()
    writing = asyncio.create_task(write_until_stored(store, BATCHES))
    await asyncio.sleep(1.2)
    mortal_influx.thaw()
    assert await asyncio.wait_for(writing, 30) > 0
    found = await store.candles(MARKET, "1m")
    assert [c.close for c in found] == [str(3 * minute + 2) for minute in range(30)]
    await store.close()


@pytest.mark.influx
async def test_replaying_leaves_the_same_points(influx: Influxd):
    bucket = influx.new_bucket()
    states = []
    for _ in range(2):  # the second time as a restarted sink, which remembers nothing
        store = open_bucket(influx, bucket)
        for each in BATCHES:
            await store.write([each])
        await store.write([batch(gaps=[gap(7)], offset=90)])
        states.append((await points(store), await store.candles(MARKET, "1m")))
        await store.close()
    assert states[0] == states[1]
    # 30 candles of 17 fields, 1 gap of 3
    assert sum(states[0][0]) == 30 * 17 + 3


async def points(store: InfluxStore) -> list[int]:
    """Return how many points each series and field of the bucket has."""
    tables = await store._client.query_api().query(
        f'from(bucket: "{store._bucket}") |> range(start: -100y) |> count()'
    )
    return [record.get_value() for table in tables for record in table.records]


@pytest.mark.influx
async def test_what_the_bucket_does_not_keep_is_no_error(influx: Influxd):
    org = influx.call("GET", f"/api/v2/orgs?org={influx.org}")["orgs"][0]["id"]
    rules = [{"type": "expire", "everySeconds": 3600}]
    bucket = {"orgID": org, "name": f"short-{id(rules)}", "retentionRules": rules}
    influx.call("POST", "/api/v2/buckets", bucket)
    store = open_bucket(influx, str(bucket["name"]))
    await store.write(BATCHES)
    assert await store.candles(MARKET, "1m") == []
    await store.close()


@pytest.mark.influx
async def test_a_big_write_takes_many_requests(influx: Influxd, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shell, "LINES_PER_REQUEST", 7)
    store = open_bucket(influx, influx.new_bucket())
    await store.write([batch(*(candle(minute) for minute in range(50)))])
    assert len(await store.candles(MARKET, "1m")) == 50
    await store.close()


@pytest.mark.parametrize(("status", "headers", "kind", "retry_after_s"), ANSWERS)
async def test_an_answer_says_what_to_do_next(
    status: int, headers: dict[str, str], kind: type[Exception], retry_after_s: float | None
):
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Content-Encoding"] == "gzip"
        return web.json_response({"message": "no"}, status=status, headers=headers)

    app = web.Application()
    app.router.add_post("/api/v2/write", answer)
    server = web.AppRunner(app)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    host, port = server.addresses[0][:2]
    store = InfluxStore(InfluxConfig(f"http://{host}:{port}", "o", "b", "t"))
    with pytest.raises(kind, match=f"InfluxDB answers {status}: no") as raised:
        await store.write(BATCHES)
    assert getattr(raised.value, "retry_after_s", None) == retry_after_s
    await store.close()
    await server.cleanup()
