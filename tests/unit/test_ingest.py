import asyncio

import pytest

from chaintide.api import venues
from chaintide.api.settings import read_settings
from chaintide.streams import codec
from chaintide.streams.errors import ConfigError, FatalError
from chaintide.streams.feeds.adapter import Mark
from chaintide.streams.feeds.ingest import FeedConfig, _run_all, check, venue_of
from chaintide.streams.feeds.outbox import KafkaOutbox
from chaintide.streams.feeds.resume import note_message
from chaintide.streams.records import Heartbeat, Market, TradeBatch

BTC = Market("kraken:BTC-USD")


def batch(*ids: int) -> bytes:
    n = len(ids)
    record = TradeBatch(
        market=BTC,
        price_scale=0,
        size_scale=0,
        ids=list(ids),
        times_us=[i * 10 for i in ids],
        prices=[1] * n,
        sizes=[1] * n,
        sides="b" * n,
    )
    return codec.encode(record)


def test_the_mark_is_the_highest_id_wherever_it_stands():
    marks: dict[Market, Mark] = {}
    for value in (batch(5, 7, 6), batch(3), codec.encode(Heartbeat(venue="kraken", time_us=1))):
        note_message(marks, value)
    assert marks == {BTC: Mark(7, 70)}


def test_what_cannot_be_read_is_passed_over():
    marks: dict[Market, Mark] = {}
    note_message(marks, b"what?")
    assert marks == {}


class FullDisk:
    async def send(self, *_args, **_options):
        sent = asyncio.get_running_loop().create_future()
        sent.set_exception(OSError("disk full"))
        return sent

    async def flush(self):
        pass


async def test_a_kafka_that_fails_ends_everything_with_one_plain_error():
    outbox = KafkaOutbox(FullDisk(), 1, lambda: 0)

    async def feed() -> None:
        await outbox.send(Heartbeat(venue="kraken", time_us=1))
        await asyncio.Event().wait()

    with pytest.raises(FatalError, match="disk full"):
        await asyncio.wait_for(_run_all(outbox, [feed()]), 1)


@pytest.mark.parametrize(
    ("feed", "url"),
    [
        ("exchange", "wss://ws-feed.exchange.coinbase.com"),
        ("advanced", "wss://advanced-trade-ws.coinbase.com"),
    ],
)
def test_a_setting_says_which_of_coinbases_feeds_is_read_under_the_same_market_names(
    monkeypatch, feed, url
):
    monkeypatch.setenv("CHAINTIDE_COINBASE_FEED", feed)
    monkeypatch.setenv("CHAINTIDE_COINBASE_REST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CHAINTIDE_MARKETS", "coinbase:BTC-USD,kraken:BTC-USD")
    coinbase, kraken = venues.configs(read_settings())
    check([coinbase, kraken])
    assert venue_of(coinbase).ws_url == url
    assert venue_of(coinbase).name == "coinbase"
    assert (coinbase.markets, coinbase.rest_url) == (["coinbase:BTC-USD"], "http://127.0.0.1:1")
    assert (kraken.venue, kraken.rest_url) == ("kraken", None)


def test_a_sound_configuration_passes():
    check(
        [
            FeedConfig("kraken", [BTC], ws_url="ws://127.0.0.1:1/v2"),
            FeedConfig("coinbase-advanced", [Market("coinbase:BTC-USD")]),
            FeedConfig("coingecko", [Market("coingecko:bitcoin-USD")]),
        ]
    )


@pytest.mark.parametrize(
    ("feeds", "advice"),
    [
        ([FeedConfig("nowhere", [BTC])], "there are binance, coinbase, coingecko, kraken$"),
        (
            [FeedConfig("coinbase-advanced", [Market("coinbase-advanced:BTC-USD")])],
            "write coinbase:BASE-QUOTE, not coinbase-advanced:BTC-USD",
        ),
        ([FeedConfig("kraken", [])], "kraken:BASE-QUOTE"),
        ([FeedConfig("binance", [BTC])], "binance:BASE-QUOTE"),
        ([FeedConfig("kraken", [Market("kraken:BTCUSD")])], "BASE-QUOTE"),
        ([FeedConfig("kraken", [BTC]), FeedConfig("kraken", [BTC])], "put their markets into one"),
    ],
)
def test_a_mistake_is_explained(feeds, advice):
    with pytest.raises(ConfigError, match=advice):
        check(feeds)
