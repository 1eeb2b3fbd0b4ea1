"""The laws of the candle store, for every store there is."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from anomalies import anomaly, told
from candles import MARKET, batch, candle, gap
from forecasts import predicted, prediction, score
from influxd import Influxd

from chaintide.sinks.forecast_store import Store
from chaintide.sinks.influx import InfluxConfig, InfluxStore
from chaintide.sinks.memory import MemoryStore
from chaintide.sinks.sqlite import SqliteStore

INFLUX = pytest.param("influx", marks=pytest.mark.influx)


@pytest.fixture(params=["memory", "sqlite", INFLUX])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    makers: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "sqlite": lambda: SqliteStore(tmp_path / "test.sqlite"),
        "influx": lambda: influx_store(request.getfixturevalue("influx")),
    }
    made = makers[request.param]()
    yield made
    await made.close()


def influx_store(server: Influxd) -> InfluxStore:
    return InfluxStore(
        InfluxConfig(url=server.url, token=server.token, org=server.org, bucket=server.new_bucket())
    )


async def test_an_empty_store_has_nothing(store: Store):
    assert await store.candles(MARKET, "1m") == []
    assert await store.gaps(MARKET) == []
    assert await store.markets() == []
    await store.write([])
    assert await store.markets() == []


async def test_a_candle_comes_back_exactly(store: Store):
    written = [
        candle(0),
        candle(1, vwap=None, first_trade_id=None, last_trade_id=None, trades=0, fill="carry"),
        candle(2, status="open", revision=0, complete=False),
        candle(3, open="0.000000000000000001", high="123456789012345678901234567890.5"),
        candle(4, status="corrected", revision=2, reason="backfill"),
    ]
    await store.write([batch(*written)])
    assert await store.candles(MARKET, "1m") == written


async def test_the_last_one_written_wins(store: Store):
    await store.write([batch(candle(0, close="1"), candle(1, close="1"), offset=1)])
    await store.write([batch(candle(1, close="2", vwap=None), offset=2)])
    found = await store.candles(MARKET, "1m")
    assert found == [candle(0, close="1"), candle(1, close="2", vwap=None)]


async def test_the_last_one_of_a_write_wins(store: Store):
    candles = [candle(0, close="1"), candle(0, close="2"), candle(0, close="3")]
    await store.write([batch(*candles[:2]), batch(candles[2], offset=1)])
    assert await store.candles(MARKET, "1m") == [candles[2]]


async def test_writing_again_changes_nothing(store: Store):
    batches = [batch(candle(0), gaps=[gap()]), batch(candle(1), offset=1)]
    await store.write(batches)
    await store.write(batches)
    await store.write(batches[1:])
    assert await store.candles(MARKET, "1m") == [candle(0), candle(1)]
    assert await store.gaps(MARKET) == [gap()]


@pytest.mark.parametrize(("generation", "offset"), [(2, 8), (1, 10), (1, 9)])
async def test_a_stale_batch_leaves_no_trace(store: Store, generation: int, offset: int):
    await store.write([batch(candle(0, close="1"), generation=2, offset=9)])
    stale = {"generation": generation, "offset": offset}
    other = batch(candle(0, market="kraken:ETH-USD"), **stale)
    await store.write([batch(candle(0, close="2"), candle(1), gaps=[gap()], **stale), other])
    assert await store.candles(MARKET, "1m") == [candle(0, close="1")]
    assert await store.gaps(MARKET) == []
    assert await store.candles(other.market, "1m") == other.candles


@pytest.mark.parametrize(("generation", "offset"), [(2, 9), (2, 10), (3, 0)])
async def test_a_newer_or_equal_batch_is_stored(store: Store, generation: int, offset: int):
    await store.write([batch(candle(0, close="1"), generation=2, offset=9)])
    await store.write([batch(candle(0, close="2"), generation=generation, offset=offset)])
    assert await store.candles(MARKET, "1m") == [candle(0, close="2")]


async def test_a_range_holds_its_start_but_not_its_end(store: Store):
    await store.write([batch(*(candle(minute) for minute in (3, 1, -1, 2, 0)))])

    async def minutes(*args: int | None) -> list[int]:
        return [c.open_time_ms // 60_000 for c in await store.candles(MARKET, "1m", *args)]

    assert await minutes() == [-1, 0, 1, 2, 3]
    assert await minutes(60_000) == [1, 2, 3]
    assert await minutes(None, 60_000) == [-1, 0]
    assert await minutes(1, 120_001) == [1, 2]
    assert await minutes(60_000, 60_000) == []
    assert await minutes(120_000, 60_000) == []


async def test_a_limit_keeps_the_earliest_from_a_start_else_the_latest(store: Store):
    await store.write([batch(*(candle(minute) for minute in range(5)))])

    async def minutes(*args: int | None) -> list[int]:
        return [c.open_time_ms // 60_000 for c in await store.candles(MARKET, "1m", *args)]

    assert await minutes(None, None, 2) == [3, 4]
    assert await minutes(None, 180_000, 2) == [1, 2]
    assert await minutes(60_000, None, 2) == [1, 2]
    assert await minutes(60_000, 120_000, 2) == [1]


async def test_markets_and_intervals_are_kept_apart(store: Store):
    eth, hour = candle(0, market="kraken:ETH-USD"), candle(0, interval="1h")
    await store.write([batch(candle(0), hour), batch(eth)])
    assert await store.candles(MARKET, "1m") == [candle(0)]
    assert await store.candles(MARKET, "1h") == [hour]
    assert await store.candles(MARKET, "1d") == []
    assert await store.candles(eth.market, "1m") == [eth]
    assert await store.markets() == [MARKET, eth.market]


async def test_a_gap_is_replaced_when_it_is_filled(store: Store):
    await store.write([batch(gaps=[gap(7, reason='a "b"\\\n, c=d'), gap(-5)])])
    assert await store.gaps(MARKET) == [gap(-5), gap(7, reason='a "b"\\\n, c=d')]
    await store.write([batch(gaps=[gap(7, to_us=9, filled=True)], offset=1)])
    assert await store.gaps(MARKET) == [gap(-5), gap(7, to_us=9, filled=True)]
    assert await store.markets() == [MARKET]


@pytest.mark.parametrize(
    "market",
    [
        "5151:0xdAC17F958D2ee523a2206206994597C13D831ec7",
        "a b:c,d=e\\",
        'x:"${1}"',
        "é\n:%2C币",
        "x:",
    ],
)
async def test_any_name_of_a_market_is_kept(store: Store, market: str):
    odd = candle(0, market=market)
    await store.write([batch(odd, candle(1, market=market), gaps=[gap(market=market)])])
    assert await store.candles(odd.market, "1m", limit=1) == [candle(1, market=market)]
    assert await store.gaps(odd.market) == [gap(market=market)]
    assert await store.markets() == [market]


async def test_a_prediction_comes_back_exactly_and_the_last_one_written_wins(store: Store):
    assert await store.newest_predictions() == []
    first, odd = prediction(0, p_up=0.1 + 0.2), prediction(1, evidence=1e-300, n_labels=0)
    await store.write_forecasts([predicted(first), predicted(odd)], [])
    await store.write_forecasts([predicted(prediction(0, p_up=0.4))], [])
    await store.write_forecasts([predicted(first)], [])
    assert await store.predictions(MARKET, "1m", 1, 10) == [first, odd]
    assert await store.predictions(MARKET, "1m", 1, 1) == [odd]
    assert await store.newest_predictions() == [odd]


async def test_what_is_refreshed_is_not_kept(store: Store):
    await store.write_forecasts([predicted(prediction(0, status="refreshed"))], [])
    assert await store.predictions(MARKET, "1m", 1, 10) == []


async def test_series_of_predictions_and_scores_are_kept_apart(store: Store):
    series = [
        {"market": MARKET},
        {"market": MARKET, "horizon": 5},
        {"market": MARKET, "interval": "1h"},
        {"market": "5151:0xa1, b=c"},
    ]
    said = [prediction(3, **fields) for fields in series]
    graded = [score(3, **fields) for fields in series]
    await store.write_forecasts([predicted(one) for one in said], graded)
    newest = await store.newest_predictions()
    assert sorted(newest, key=lambda one: one.prediction_id) == sorted(
        said, key=lambda one: one.prediction_id
    )
    for one, known in zip(said, graded, strict=True):
        place = (one.market, one.interval, one.horizon)
        assert await store.predictions(*place, 10) == [one]
        assert await store.score_history(*place, 10) == [known]


async def test_of_the_scores_of_15_candles_the_last_is_kept(store: Store):
    await store.write_forecasts([], [score(n, labels=n) for n in range(31)])
    found = await store.score_history(MARKET, "1m", 1, 10)
    assert [one.labels for one in found] == [13, 28, 30]
    assert [one.labels for one in await store.score_history(MARKET, "1m", 1, 2)] == [28, 30]


async def test_an_anomaly_comes_back_exactly_and_the_last_one_written_wins(store: Store):
    assert await store.anomalies(MARKET) == []
    assert await store.newest_anomalies() == []
    first, odd = anomaly(1, score=0.1 + 0.2), anomaly(2, trade_id=None, log="0xb7:3", block=7)
    await store.write_anomalies([told(first, odd)])
    await store.write_anomalies([told(anomaly(1, score=0.4))])
    await store.write_anomalies([told(anomaly(1, score=0.5), first)])
    assert await store.anomalies(MARKET) == [first, odd]
    gone = anomaly(2, trade_id=None, log="0xb7:3", block=7, status="withdrawn")
    await store.write_anomalies([told(gone)])
    assert await store.anomalies(MARKET) == [first, gone]
    assert await store.newest_anomalies() == [first, gone]


async def test_anomalies_of_the_same_moment_are_kept_apart(store: Store):
    both = [anomaly(5, anomaly_id=name) for name in ("a", "b")]
    await store.write_anomalies([told(*both)])
    assert await store.anomalies(MARKET) == sorted(both, key=lambda one: one.place)


async def test_anomalies_are_read_by_market_and_range(store: Store):
    other = anomaly(3, market="5151:0xa1, b=c")
    written = [anomaly(second) for second in (3, 1, -1, 2, 0)]
    await store.write_anomalies([told(*written), told(other)])

    async def seconds(*args: int | None) -> list[int]:
        return [one.time_us // 1_000_000 for one in await store.anomalies(MARKET, *args)]

    one_s = 10**9
    assert await seconds() == [-1, 0, 1, 2, 3]
    assert await seconds(one_s) == [1, 2, 3]
    assert await seconds(None, one_s) == [-1, 0]
    assert await seconds(one_s, one_s) == []
    assert await seconds(None, None, 2) == [2, 3]
    assert await seconds(None, 3 * one_s, 2) == [1, 2]
    assert await seconds(one_s, None, 2) == [1, 2]
    assert await store.anomalies(other.market) == [other]
    newest = await store.newest_anomalies()
    assert len(newest) == 6
    assert [one.place for one in newest] == sorted(one.place for one in newest)
