"""The routes below /v1, through an ASGI client."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from candles import MARKET, candle, gap
from serving import NOW_MS, Served, serving

from chaintide.sinks.candle_store import CandleStore
from chaintide.sinks.memory import MemoryStore
from chaintide.streams import codec, topics
from chaintide.streams.chain.records import Alias
from chaintide.streams.errors import RetryableError
from chaintide.streams.feeds.coingecko import PriceTick, Trending, TrendingCoin
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Candle, Market, TradeBatch


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


class DownStore(MemoryStore):
    """A store that does not answer."""

    async def candles(self, *_: Any, **__: Any) -> list[Candle]:
        raise RetryableError("down", retry_after_s=3)


class CountingStore(MemoryStore):
    """A store that counts what it is asked."""

    def __init__(self, store: CandleStore) -> None:
        super().__init__()
        self._store = store
        self.queries = 0

    async def candles(self, *query: Any, **options: Any) -> list[Candle]:
        self.queries += 1
        return await self._store.candles(*query, **options)


def minutes(body: dict[str, Any]) -> list[int]:
    return [row["open_time_ms"] // MINUTE_MS for row in body["candles"]]


async def pages(api: Served, **query: Any) -> list[list[int]]:
    """Follow the cursors and return the minutes of each page."""
    found: list[list[int]] = []
    cursor: str | None = None
    while not found or cursor is not None:
        answer = await api.get("/v1/candles", market=MARKET, cursor=cursor, **query)
        assert answer.status_code == 200, answer.text
        found.append(minutes(answer.json()))
        cursor = answer.json()["next"]
    return found


async def test_a_candle_is_answered_with_all_its_fields_and_exact_numbers(api: Served):
    shown = candle(3, status="corrected", revision=2, reason="late")
    await api.stored(shown)
    answer = await api.get("/v1/candles", market=MARKET, interval="1m")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "market": MARKET,
        "interval": "1m",
        "candles": [msgspec.to_builtins(shown)],
        "next": None,
    }


async def test_what_the_topic_says_goes_over_what_the_store_says(api: Served):
    await api.stored(candle(0), candle(1, status="open", revision=0, trades=3))
    api.told(candle(1, trades=9), candle(2, status="open", revision=0))
    ranges = ({"start": 0}, {"end": 10 * MINUTE_MS}, {"start": MINUTE_MS, "limit": 2})
    for query in (*ranges, {}, *ranges):  # from the store, then from what was loaded of it
        rows = (await api.get("/v1/candles", market=MARKET, **query)).json()["candles"]
        assert [row["trades"] for row in rows][-2:] == [9, 3]
        assert [row["status"] for row in rows][-2:] == ["closed", "open"]


async def test_the_newest_candles_follow_the_topic_without_another_query(api: Served):
    await api.stored(*(candle(minute) for minute in range(5)))
    await api.get("/v1/candles", market=MARKET)
    api.backend.reader.store = DownStore()
    api.told(candle(4, trades=7), candle(5))
    body = (await api.get("/v1/candles", market=MARKET, limit=3)).json()
    assert minutes(body) == [3, 4, 5]
    assert body["candles"][1]["trades"] == 7


async def test_a_page_has_no_hole_while_the_store_is_far_behind(api: Served):
    await api.stored(*(candle(minute) for minute in range(3)))
    api.told(*(candle(minute) for minute in range(3, 100)))
    forwards = {"start": 0}
    assert minutes((await api.get("/v1/candles", market=MARKET, **forwards)).json()) == [0, 1, 2]
    for query in ({}, {"end": 200 * MINUTE_MS}, forwards):
        body = (await api.get("/v1/candles", market=MARKET, **query)).json()
        assert minutes(body) == [0, 1, 2], "what is missing is on its way"
    newest = (await api.get("/v1/candles", market=MARKET, limit=5)).json()
    assert minutes(newest) == [95, 96, 97, 98, 99]
    await api.stored(*(candle(minute) for minute in range(3, 99)))
    body = (await api.get("/v1/candles", market=MARKET, **forwards)).json()
    assert minutes(body) == list(range(100))


async def test_many_who_ask_at_once_cost_one_query(api: Served):
    await api.stored(*(candle(minute) for minute in range(5)))
    api.backend.reader.store = counting = CountingStore(api.store)
    answers = await asyncio.gather(*[api.get("/v1/candles", market=MARKET) for _ in range(20)])
    assert [minutes(answer.json()) for answer in answers] == [[0, 1, 2, 3, 4]] * 20
    assert counting.queries == 1


async def test_pages_hold_every_candle_once_forwards_and_backwards(api: Served):
    await api.stored(*(candle(minute) for minute in range(7)))
    forwards = await pages(api, start=MINUTE_MS, limit=2)
    assert forwards == [[1, 2], [3, 4], [5, 6], []]
    assert await pages(api, limit=3) == [[4, 5, 6], [1, 2, 3], [0]]
    assert await pages(api, start=MINUTE_MS, end=4 * MINUTE_MS, limit=2) == [[1, 2], [3]]


async def test_a_range_holds_its_start_and_not_its_end_in_either_notation(api: Served):
    await api.stored(*(candle(minute) for minute in range(5)))
    written = {"start": "1970-01-01T00:01:00Z", "end": "1970-01-01T01:03:00+01:00"}
    for query in (written, {"start": MINUTE_MS, "end": 3 * MINUTE_MS}):
        assert minutes((await api.get("/v1/candles", market=MARKET, **query)).json()) == [1, 2]
    url = f"/v1/candles?market={MARKET}&start=1970-01-01T00:01:00+00:00"
    assert minutes((await api.http.get(url)).json()) == [1, 2, 3, 4], "a plus that was not encoded"


async def test_open_and_quiet_candles_can_be_left_out(api: Served):
    quiet = candle(1, trades=0, fill="carry", vwap=None)
    await api.stored(candle(0), quiet, candle(2, status="open", revision=0))

    async def shown(**query: Any) -> list[int]:
        return minutes((await api.get("/v1/candles", market=MARKET, **query)).json())

    assert await shown() == [0, 1, 2]
    assert await shown(closed_only=True) == [0, 1]
    assert await shown(fill="omit") == [0, 2]
    assert await pages(api, fill="omit", limit=1) == [[2], [], [0], []], "and pages go on"


async def test_a_cursor_is_refused_if_it_was_changed_or_is_of_another_query(api: Served):
    await api.stored(*(candle(minute) for minute in range(4)))
    cursor = (await api.get("/v1/candles", market=MARKET, limit=2)).json()["next"]
    forged = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    for query in ({"cursor": forged}, {"cursor": "é"}, {"cursor": cursor, "fill": "omit"}):
        answer = await api.get("/v1/candles", market=MARKET, limit=2, **query)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["parameter"] == "cursor"
    assert (await api.get("/v1/candles", market=MARKET, limit=9, cursor=cursor)).status_code == 200


def final(*at: int) -> list[Candle]:
    return [candle(minute, status="final") for minute in at]


@pytest.mark.parametrize(
    ("shown", "query", "is_settled"),
    [
        (final(0, 1, 2), {"start": 0, "end": 3 * MINUTE_MS}, True),
        (final(0, 1, 2), {"start": 0, "end": 3 * MINUTE_MS + 1}, False),
        (final(0, 1, 2), {"start": 0, "limit": 2}, True),
        (final(0, 1, 2), {"start": 0}, False),
        (final(0, 1, 2), {"end": 3 * MINUTE_MS}, True),
        (final(0, 1, 2), {}, False),
        (final(0, 2), {"start": 0, "end": 3 * MINUTE_MS}, False),
        ([*final(0), candle(1)], {"start": 0, "end": 2 * MINUTE_MS}, False),
        ([], {"start": 0, "end": MINUTE_MS}, False),
    ],
)
async def test_only_an_answer_that_can_never_change_has_an_etag(
    api: Served, shown: list[Candle], query: dict[str, int], is_settled: bool
):
    await api.stored(*shown, gaps=[gap()])
    answer = await api.get("/v1/candles", market=MARKET, **query)
    assert ("etag" in answer.headers) == is_settled
    if is_settled:
        tag = {"If-None-Match": answer.headers["etag"]}
        api.backend.reader.store = DownStore()  # it is not read for this again
        again = await api.http.get(answer.url, headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        other = await api.http.get(answer.url, headers={"If-None-Match": '"other"'})
        assert other.content == answer.content


async def test_what_only_the_topic_said_is_not_settled_before_it_is_stored(api: Served):
    query = {"start": 0, "end": 5 * MINUTE_MS}
    await api.stored(*final(7))
    api.told(*final(3, 4))  # an earlier one is still on its way to the store
    answer = await api.get("/v1/candles", market=MARKET, **query)
    assert (minutes(answer.json()), "etag" in answer.headers) == ([3, 4], False)
    await api.stored(*final(2, 3, 4))
    answer = await api.get("/v1/candles", market=MARKET, **query)
    assert (minutes(answer.json()), "etag" in answer.headers) == ([2, 3, 4], True)


async def test_backward_pages_are_settled_by_where_they_end(api: Served):
    await api.stored(*final(0, 1, 2, 3), candle(4))
    newest = await api.get("/v1/candles", market=MARKET, limit=2)
    assert "etag" not in newest.headers
    cursor = newest.json()["next"]
    for _ in range(2):
        older = await api.get("/v1/candles", market=MARKET, limit=2, cursor=cursor)
        assert (minutes(older.json()), "etag" in older.headers) == ([1, 2], True)
        api.backend.reader.store = DownStore()


async def test_recent_trades_come_oldest_first(api: Served):
    trades = TradeBatch(
        market=MARKET,
        price_scale=1,
        size_scale=0,
        ids=[3, 1, 2],
        times_us=[3, 1, 2],
        prices=[15, 16, 17],
        sizes=[1, 2, 3],
        sides="bs?",
    )
    api.record(topics.TRADES, trades)
    rows = (await api.get("/v1/trades", market=MARKET, limit=2)).json()["trades"]
    assert [(row["trade_id"], row["price"], row["side"]) for row in rows] == [
        (2, "1.7", None),
        (3, "1.5", "buy"),
    ]


async def test_tickers_are_those_of_one_market_or_of_all(api: Served):
    await api.stored(candle(0, open="10", close="12", high="13", low="9"))
    api.record(topics.TICKS, PriceTick(market=Market("coingecko:b-USD"), time_us=1, price="7"))
    rows = (await api.get("/v1/tickers")).json()["tickers"]
    assert [(row["market"], row["basis"], row["last"]) for row in rows] == [
        ("coingecko:b-USD", "price", "7"),
        (MARKET, "trades", "12"),
    ]
    [row] = (await api.get("/v1/tickers", market=MARKET)).json()["tickers"]
    assert (row["change"], row["change_percent"], row["trades"]) == ("2", "20", 3)


async def test_markets_trending_feeds_and_time(api: Served):
    await api.stored(candle(1))
    coin = TrendingCoin(coin="bitcoin", symbol="BTC", name="Bitcoin")
    assert (await api.get("/v1/trending")).json() == {"time_us": None, "coins": []}
    api.record(topics.TICKS, Trending(time_us=5, coins=[coin]))
    api.record(topics.FEEDS, FeedStatus("kraken", [MARKET]).report(now_ms=NOW_MS - 10_000))
    [market] = (await api.get("/v1/markets")).json()["markets"]
    assert (market["market"], market["base"], market["first_open_time_ms"]) == (
        MARKET,
        "BTC",
        60_000,
    )
    assert (await api.get("/v1/trending")).json()["coins"] == [msgspec.to_builtins(coin)]
    [feed] = (await api.get("/v1/feeds")).json()["feeds"]
    assert (feed["report"]["venue"], feed["age_ms"], feed["is_alive"]) == ("kraken", 10_000, False)
    told = (await api.get("/v1/time")).json()
    assert told == {"time_ms": NOW_MS, "time": "2025-11-01T09:46:40.000+00:00"}


async def test_gaps_are_those_that_touch_the_range(api: Served):
    spans = [gap(second * 1_000_000) for second in (0, 5, 9)]
    await api.stored(candle(0), gaps=spans)

    async def starts(**query: Any) -> list[int]:
        body = (await api.get("/v1/gaps", market=MARKET, **query)).json()
        return [row["from_us"] // 1_000_000 for row in body["gaps"]]

    assert await starts() == [0, 5, 9]
    assert await starts(start=1_000) == [5, 9]
    assert await starts(start=999, end=5_000) == [0]
    assert await starts(limit=1) == [9]


@pytest.mark.parametrize("path", ["candles", "trades", "gaps", "tickers"])
async def test_a_market_nobody_knows_is_not_found(api: Served, path: str):
    answer = await api.get(f"/v1/{path}", market="kraken:NO-NO")
    assert answer.status_code == 404
    assert "kraken:NO-NO" in answer.json()["detail"]
    api.backend.is_loaded = False
    early = await api.get(f"/v1/{path}", market="kraken:NO-NO")
    assert (early.status_code, early.headers["retry-after"]) == (503, "1"), "nobody can say yet"


async def test_a_store_that_does_not_answer_is_a_503(api: Served):
    await api.stored(candle(0))
    api.backend.reader.store = DownStore()
    answer = await api.get("/v1/candles", market=MARKET, interval="1h")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_number_of_a_candle_that_is_a_price_or_size_is_a_string():
    shown = codec.encode(candle())
    assert b'"open":"64000.10"' in shown
    assert b'"volume":"0.30000000000000000004"' in shown


POOL = Market("31337:0xa1/0xb1")


def alias(market: str = POOL) -> Alias:
    tokens = {"base_token": "0x01", "quote_token": "0x02", "base_scale": 18, "quote_scale": 6}
    name = {"name": "local:RUST-USDC", "base": "RUST", "quote": "USDC"}
    return Alias(market=Market(market), **name, **tokens)


@pytest.mark.parametrize(
    "path", ["candles", "trades", "tickers", "gaps", "probabilities", "anomalies"]
)
async def test_a_market_is_found_by_what_it_is_called(api: Served, path: str):
    await api.stored(candle(0, market=POOL))
    api.record(topics.ALIASES, alias())
    [by_name, by_market] = [
        await api.get(f"/v1/{path}", market=name) for name in ("local:RUST-USDC", POOL)
    ]
    assert by_name.status_code == 200, by_name.text
    assert by_name.json() == by_market.json()
    assert POOL in by_name.text


async def test_a_wrong_name_is_answered_with_the_nearest(api: Served):
    await api.stored(candle(0))
    await api.stored(candle(0, market=POOL))
    api.record(topics.ALIASES, alias())
    answer = await api.get("/v1/candles", market="kraken:BTCUSDT")
    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        f"no market kraken:BTCUSDT; the nearest: {MARKET}; see /v1/markets"
    )
    assert api.backend.view.catalogue.advice("local:RUST-USDC") == f"local:RUST-USDC is `{POOL}`"
    other = Market("1:0xa1")
    await api.stored(candle(0, market=other))
    api.record(topics.ALIASES, alias(other))
    answer = await api.get("/v1/candles", market="local:RUST-USDC")
    assert answer.status_code == 404
    assert f"several markets are called local:RUST-USDC: {other}, {POOL}" in answer.text
