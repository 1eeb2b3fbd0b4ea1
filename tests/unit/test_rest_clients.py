"""Binance's klines and TradingView's UDF: what their clients rely on."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from candles import MARKET, candle
from serving import NOW_MS, Served, serving

from chaintide.streams.intervals import MINUTE_MS

BASE = NOW_MS // MINUTE_MS - 120


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


# ---------------------------------------------------------------------- klines


async def klines(api: Served, **query: Any) -> Any:
    answer = await api.get("/api/v3/klines", **query)
    assert answer.headers["content-type"] == "application/json"
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json())


async def test_a_kline_is_a_row_whose_close_time_is_its_last_millisecond(api: Served):
    await api.stored(candle(1, taker_buy_volume="0.1"))
    assert await klines(api, symbol=MARKET, interval="1m") == [
        [
            60_000,
            "64000.10",
            "64000.123456789012345678",
            "63999",
            "64000.00",
            "0.30000000000000000004",
            119_999,
            "19200.000000000000000001",
            3,
            "0.1",
            "0",
            "0",
        ]
    ]


async def test_klines_begin_and_end_at_open_times_that_are_included(api: Served):
    await api.stored(*(candle(minute) for minute in range(6)))

    async def minutes(**query: Any) -> list[int]:
        rows = await klines(api, symbol=MARKET, interval="1m", **query)
        return [row[0] // MINUTE_MS for row in rows]

    assert await minutes() == [0, 1, 2, 3, 4, 5]
    assert await minutes(startTime=60_000, endTime=180_000) == [1, 2, 3]
    assert await minutes(startTime=60_000, limit=2) == [1, 2]
    assert await minutes(endTime=180_000, limit=2) == [2, 3]
    assert await minutes(limit=5_000) == [0, 1, 2, 3, 4, 5], "more than 1,000 means 1,000"


async def test_a_symbol_in_binances_words_is_binances_market_or_the_only_one(api: Served):
    await api.stored(candle(0))
    assert len(await klines(api, symbol="BTCUSDT", interval="1m")) == 1
    await api.stored(candle(0, market="binance:BTC-USDT"), candle(1, market="binance:BTC-USDT"))
    assert len(await klines(api, symbol="BTCUSDT", interval="1m")) == 2
    await api.stored(candle(0, market="kraken:ETH-USD"))
    await api.stored(candle(0, market="coinbase:ETH-USD"))
    status, error = await klines(api, symbol="ETHUSD", interval="1m")
    assert (status, error) == (400, {"code": -1121, "msg": "Invalid symbol."})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"interval": "1m"}, -1102),
        ({"symbol": MARKET}, -1102),
        ({"symbol": "NONO", "interval": "1m"}, -1121),
        ({"symbol": MARKET, "interval": "7m"}, -1120),
        ({"symbol": MARKET, "interval": "1m", "limit": "x"}, -1100),
        ({"symbol": MARKET, "interval": "1m", "limit": "0"}, -1130),
        ({"symbol": MARKET, "interval": "1m", "startTime": "-1"}, -1100),
        ({"symbol": MARKET, "interval": "1m", "timeZone": "8"}, -1130),
        ({"symbol": MARKET, "interval": "1m", "foo": "1"}, -1104),
    ],
)
async def test_what_binance_would_refuse_is_refused_with_its_code(
    api: Served, query: dict[str, str], code: int
):
    await api.stored(candle(0))
    status, error = await klines(api, **query)
    assert (status, error["code"], sorted(error)) == (400, code, ["code", "msg"])


# ------------------------------------------------------------------------- UDF


async def history(api: Served, **query: Any) -> Any:
    given = {"symbol": MARKET, "resolution": "1", "from_": 0, "to": NOW_MS // 1000} | query
    answer = await api.get("/udf/history", **given)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.content, parse_float=str, parse_int=int)


async def test_bars_are_columns_with_every_digit_of_their_numbers(api: Served):
    await api.stored(candle(BASE))
    assert await history(api) == {
        "s": "ok",
        "t": [BASE * 60],
        "o": ["64000.10"],
        "h": ["64000.123456789012345678"],
        "l": [63999],
        "c": ["64000.00"],
        "v": ["0.30000000000000000004"],
    }


@pytest.mark.parametrize("later_s", [0, 86_400])
async def test_a_window_of_fifty_minutes_has_no_gap_and_rises(api: Served, later_s: int):
    present = [BASE, BASE + 7, *range(BASE + 30, BASE + 50)]
    await api.stored(*(candle(minute, close="64000.5") for minute in present))
    bars = await history(api, from_=BASE * 60, to=(BASE + 50) * 60 + later_s)
    assert bars["t"] == [minute * 60 for minute in range(BASE, BASE + 50)]
    assert all(b == a + 60 for a, b in pairwise(bars["t"]))
    assert {len(bars[name]) for name in "tohlcv"} == {50}
    assert (bars["o"][1], bars["h"][1], bars["v"][1]) == ("64000.5", "64000.5", 0)


async def test_from_is_included_and_to_is_not(api: Served):
    await api.stored(*(candle(BASE + k) for k in range(5)))
    bars = await history(api, from_=(BASE + 1) * 60, to=(BASE + 3) * 60)
    assert bars["t"] == [(BASE + 1) * 60, (BASE + 2) * 60]


async def test_countback_goes_before_from(api: Served):
    await api.stored(*(candle(BASE + k) for k in (0, 1, 2, 9)))
    bars = await history(api, from_=(BASE + 9) * 60, to=(BASE + 10) * 60, countback=4)
    assert bars["t"] == [(BASE + k) * 60 for k in (6, 7, 8, 9)]


async def test_a_window_without_bars_says_when_the_last_one_was(api: Served):
    await api.stored(candle(BASE), candle(BASE + 1))
    later = await history(api, from_=(BASE + 50) * 60, to=(BASE + 60) * 60)
    assert later == {"s": "no_data", "nextTime": (BASE + 1) * 60}
    assert await history(api, from_=0, to=60) == {"s": "no_data"}


@pytest.mark.parametrize(("resolution", "interval"), [("60", "1h"), ("1D", "1d"), ("W", "1w")])
async def test_a_resolution_is_an_interval(api: Served, resolution: str, interval: str):
    await api.stored(candle(0, interval="1m"), candle(60, interval=interval))
    assert (await history(api, resolution=resolution))["t"] == [3_600]


async def test_errors_are_problems_that_the_library_understands(api: Served):
    await api.stored(candle(0))
    unknown = await api.get("/udf/symbols", symbol="NO")
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"
    assert (unknown.json()["s"], unknown.json()["errmsg"]) == ("error", unknown.json()["detail"])
    wrong = {"symbol": MARKET, "resolution": "7", "from_": 0, "to": 1}
    assert (await api.get("/udf/history", **wrong)).json()["errors"][0]["parameter"] == "resolution"


async def test_a_market_can_be_found_and_described(api: Served):
    await api.stored(candle(0))
    assert (await api.get("/udf/config")).json()["exchanges"][1]["value"] == "kraken"
    [match] = (await api.get("/udf/search", query="btc", type_="", exchange="")).json()
    assert match["ticker"] == MARKET
    assert (await api.get("/udf/search", query="doge")).json() == []
    assert (await api.get("/udf/search", exchange="binance")).json() == []
    symbol = (await api.get("/udf/symbols", symbol=MARKET)).json()
    assert (symbol["session"], symbol["timezone"], symbol["has_intraday"]) == (
        "24x7",
        "Etc/UTC",
        True,
    )
    assert symbol["pricescale"] == 10**16, "no more places than the library can draw"


async def test_the_time_is_in_seconds_and_plain(api: Served):
    answer = await api.get("/udf/time")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == str(NOW_MS // 1000)
