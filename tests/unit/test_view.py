"""What a serving process makes of the records of each topic."""

import json

import pytest
from candles import MARKET, batch, candle

from chaintide.api.state import catalogue
from chaintide.api.state.view import LogRecord, View
from chaintide.streams import codec, topics
from chaintide.streams.feeds.coingecko import PriceTick, Trending
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import Heartbeat, Market, TradeBatch

COIN = Market("coingecko:bitcoin-USD")


def record(topic: topics.Topic, value: object, offset: int = 0) -> LogRecord:
    return LogRecord(topic.name, offset, 10_000, codec.encode(value))


def trades(*ids: int, prices: list[int] | None = None) -> TradeBatch:
    return TradeBatch(
        market=MARKET,
        price_scale=1,
        size_scale=2,
        ids=list(ids),
        times_us=[number * 1_000_000 for number in ids],
        prices=prices or [15] * len(ids),
        sizes=[25] * len(ids),
        sides="b" * len(ids),
    )


def test_new_trades_are_one_update_and_the_snapshot():
    view = View()
    [update] = view.on_record(record(topics.TRADES, trades(2, 1), offset=7))
    assert (update.channel, update.seq, update.event_ms) == (f"trades:{MARKET}", 8_000, 2_000)
    told = json.loads(update.data)
    assert told[0] == {
        "trade_id": 1,
        "time_us": 1_000_000,
        "price": "1.5",
        "size": "0.25",
        "side": "buy",
        "block": None,
    }
    assert view.on_record(record(topics.TRADES, trades(1, 2), offset=8)) == []
    snapshot = view.snapshot(update.channel, 10)
    assert snapshot is not None
    assert (snapshot.seq, [json.loads(entry) for entry in snapshot.data]) == (8_000, told)


def test_impossible_trades_are_not_shown():
    view = View()
    [update] = view.on_record(record(topics.TRADES, trades(1, 2, 99, prices=[-1, 5, 5])))
    assert [trade["trade_id"] for trade in json.loads(update.data)] == [2]


def test_each_changed_candle_is_an_update_and_the_ticker_follows():
    view = View()
    forms = [candle(1), candle(0, interval="5m"), candle(2, status="corrected", revision=2)]
    updates = view.on_record(record(topics.CANDLES, batch(*forms), offset=4))
    minutes, five = f"candles:{MARKET}:1m", f"candles:{MARKET}:5m"
    assert [(u.channel, u.seq, u.key, u.type) for u in updates] == [
        (minutes, 5_000, 60_000, "update"),
        (five, 5_001, 0, "update"),
        (minutes, 5_002, 120_000, "correction"),
        (f"ticker:{MARKET}", 5_002, "ticker", "update"),
    ]
    assert json.loads(updates[0].data) == json.loads(codec.encode(forms[0]))
    assert view.on_record(record(topics.CANDLES, batch(*forms), offset=5)) == [], "nothing new"
    snapshot = view.snapshot(minutes, 10)
    assert snapshot is not None
    assert (snapshot.seq, len(snapshot.data), snapshot.is_short) == (5_002, 2, True)


def test_a_series_nothing_was_heard_of_may_be_in_a_store():
    view = View()
    view.load_day(MARKET, [candle(0)])
    snapshot = view.snapshot(f"candles:{MARKET}:1w", 5)
    assert snapshot is not None
    assert (snapshot.seq, snapshot.data, snapshot.is_short) == (0, [], True)


@pytest.mark.parametrize(
    "channel", ["trades:kraken:NO-NO", "candles:kraken:NO-NO:1m", "ticker:kraken:NO-NO", "x:y", ""]
)
def test_a_channel_that_is_not_there_has_no_snapshot(channel: str):
    view = View()
    view.load_day(MARKET, [candle(0)])
    assert view.snapshot(channel, 5) is None
    assert view.snapshot(f"candles:{MARKET}:7m", 5) is None


def test_an_observed_price_is_a_ticker_without_trades():
    view = View()
    tick = PriceTick(market=COIN, time_us=5_000_000, price="67187.3358")
    [update] = view.on_record(record(topics.TICKS, tick, offset=2))
    assert update.channel == f"ticker:{COIN}"
    figures = json.loads(update.data)
    assert (figures["last"], figures["basis"], figures["volume"]) == ("67187.3358", "price", None)
    older = PriceTick(market=COIN, time_us=4_000_000, price="1")
    assert view.on_record(record(topics.TICKS, older, offset=3)) == []
    assert [(m.market, m.basis, m.price_scale) for m in view.catalogue.markets()] == [
        (COIN, "price", 4)
    ]


def test_trending_coins_are_kept_and_no_update():
    view, trending = View(), Trending(time_us=5, coins=[])
    assert view.on_record(record(topics.TICKS, trending)) == []
    assert view.catalogue.trending == trending


def test_a_feed_that_stops_reporting_is_not_alive_and_is_forgotten_after_a_day():
    view = View()
    report = FeedStatus("kraken", [MARKET], state="live").report(now_ms=1_000)
    [update] = view.on_record(record(topics.FEEDS, report, offset=9))
    assert (update.channel, update.seq, update.key) == ("status", 10_000, "kraken")
    feeds = view.catalogue.feeds
    assert [feed.is_alive for feed in feeds(now_ms=10_999)] == [True]
    assert [feed.is_alive for feed in feeds(now_ms=11_000)] == [False]
    assert feeds(now_ms=1_000 + 86_400_000) == []


def test_a_market_is_described_by_what_was_seen_of_it():
    view = View()
    view.load_day(MARKET, [candle(3), candle(1)])
    [entry] = view.catalogue.markets()
    assert (entry.venue, entry.base, entry.quote) == ("kraken", "BTC", "USDT")
    assert (entry.first_open_time_ms, entry.last_open_time_ms) == (60_000, 180_000)
    assert (entry.price_scale, entry.size_scale) == (18, 20)


def test_what_cannot_be_understood_is_counted_and_left_out():
    view = View()
    for topic in (topics.TRADES, topics.CANDLES, topics.TICKS, topics.FEEDS):
        assert view.on_record(LogRecord(topic.name, 0, 0, b"oops")) == []
    broken = batch(candle(0, open="x"))
    assert view.on_record(record(topics.CANDLES, broken)) == []
    assert view.bad_records == 5
    assert view.on_record(record(topics.TRADES, Heartbeat(venue="kraken", time_us=1))) == []
    assert view.bad_records == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"open": "x"},
        {"close": "x"},
        {"close": "NaN"},
        {"high": "1e400000"},
        {"low": ""},
        {"volume": "9" * 5_000},
        {"quote_volume": "-1"},
        {"trades": 2**64},
    ],
)
def test_what_cannot_be_understood_changes_nothing(wrong: dict[str, object]):
    view = View()
    view.load_day(MARKET, [candle(0)])
    view.on_record(record(topics.CANDLES, batch(candle(1)), offset=1))
    channels = (f"candles:{MARKET}:1m", f"ticker:{MARKET}")
    before = [view.snapshot(channel, 10) for channel in channels]
    broken = batch(candle(2), candle(3, **wrong), candle(4), offset=2)
    assert view.on_record(record(topics.CANDLES, broken, offset=2)) == []
    assert [view.snapshot(channel, 10) for channel in channels] == before
    assert view.bad_records == 1
    view.load_day(Market("kraken:X-Y"), [candle(0), candle(1, **wrong)])
    figures = view.figures(Market("kraken:X-Y"))
    assert figures is not None
    assert figures.close_time_ms == 60_000
    assert len(view.on_record(record(topics.CANDLES, batch(candle(2), offset=3), offset=3))) == 2


def test_markets_beyond_the_bound_are_not_listed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalogue, "MAX_MARKETS", 1)
    view = View()
    view.on_record(record(topics.CANDLES, batch(candle(0))))
    other = batch(candle(0, market="kraken:ETH-USD"))
    assert view.on_record(record(topics.CANDLES, other)) == []
    assert [entry.market for entry in view.catalogue.markets()] == [MARKET]


def test_of_hidden_venues_nothing_is_known():
    view, open_view = View(frozenset({"kraken"})), View()
    report = FeedStatus("kraken", [MARKET], state="live").report(now_ms=1_000)
    said = [
        record(topics.TRADES, trades(1)),
        record(topics.CANDLES, batch(candle(1))),
        record(topics.FEEDS, report),
    ]
    for one in said:
        assert open_view.on_record(one)
        assert view.on_record(one) == []
    view.load_day(MARKET, [candle(0)])
    assert view.catalogue.markets() == view.catalogue.reports() == []
    assert view.snapshot(f"trades:{MARKET}", 5) is None
    assert view.bad_records == 0
