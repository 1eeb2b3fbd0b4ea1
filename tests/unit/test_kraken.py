import contextlib
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import venue_file

from chaintide.streams.errors import BadRecordError, RetryableError
from chaintide.streams.feeds.adapter import Ack, Mark, Refusal, VenueTrade
from chaintide.streams.feeds.kraken import Kraken
from chaintide.streams.records import Market

MARKET = Market("kraken:BTC-USDT")
KRAKEN = Kraken()


def test_a_recorded_update_gives_exact_trades():
    first, second = KRAKEN.parse(venue_file("kraken_ws_trade_update.json"))
    assert first == VenueTrade(
        symbol="BTC/USD",
        id=10218208,
        time_us=1696613755440295,
        price=(1059442, 1),
        size=(27625, 8),
        side="b",
    )
    assert isinstance(second, VenueTrade)
    assert (second.price, second.size, second.side) == ((1059105, 1), (1246, 7), "s")


@pytest.mark.parametrize("name", ["kraken_ws_ohlc_update.json", "kraken_ws_ticker_snapshot.json"])
def test_other_recorded_channels_say_nothing(name):
    assert KRAKEN.parse(venue_file(name)) == []


def test_heartbeat_and_status_say_nothing():
    assert KRAKEN.parse(b'{"channel":"heartbeat"}') == []
    assert KRAKEN.parse(b'{"channel":"status","data":[{"system":"online"}],"type":"update"}') == []


def test_each_symbol_is_acknowledged_or_refused():
    result = b'"result":{"channel":"trade","snapshot":true,"symbol":"BTC/USD"}'
    assert KRAKEN.parse(b'{"method":"subscribe",%s,"success":true}' % result) == [Ack(("BTC/USD",))]
    refusal = b'{"error":"Currency pair not supported A/B","method":"subscribe","success":false}'
    assert KRAKEN.parse(refusal) == [Refusal("Currency pair not supported A/B")]
    assert KRAKEN.parse(b'{"error":"Malformed request"}') == [Refusal("Malformed request")]


def test_the_subscription_names_all_symbols():
    (message,) = KRAKEN.subscribe([MARKET, Market("kraken:ETH-USD")])
    assert json.loads(message) == {
        "method": "subscribe",
        "params": {"channel": "trade", "symbol": ["BTC/USDT", "ETH/USD"], "snapshot": True},
    }


def test_names_go_back_and_forth():
    assert KRAKEN.market(KRAKEN.symbol(MARKET)) == MARKET
    pairs = json.loads(venue_file("kraken_http_asset_pairs.json"))["result"]
    assert pairs[KRAKEN.pair(MARKET)]["altname"] == "XBTUSDT"
    assert KRAKEN.pair(Market("kraken:DOGE-USD")) == "XDGUSD"


def test_recorded_rest_trades_are_exact_and_truncated_to_a_microsecond():
    page = KRAKEN.parse_backfill(MARKET, gzip.decompress(venue_file("kraken_http_trades.json.gz")))
    assert [trade.id for trade in page.trades] == list(range(10218208, 10219208))
    assert page.is_full
    first = page.trades[0]
    assert (first.symbol, first.time_us) == ("BTC/USDT", 1762795433971744)
    assert (first.price, first.size, first.side) == ((1054336, 1), (27625, 8), "b")


def test_a_backfill_starts_at_the_last_microsecond():
    request = KRAKEN.backfill_request(MARKET, Mark(1, 1762795433971744))
    assert request.path == "/0/public/Trades"
    assert request.params == {"pair": "XBTUSDT", "since": "1762795433971743999", "count": "1000"}


def test_a_busy_venue_is_asked_again_and_a_refusing_one_is_not():
    with pytest.raises(RetryableError):
        KRAKEN.parse_backfill(MARKET, b'{"error":["EAPI:Rate limit exceeded"]}')
    with pytest.raises(BadRecordError, match="Unknown asset pair"):
        KRAKEN.parse_backfill(MARKET, b'{"error":["EQuery:Unknown asset pair"]}')
    with pytest.raises(BadRecordError):
        KRAKEN.parse_backfill(MARKET, b'{"error":[],"result":{"last":"1"}}')


@pytest.mark.parametrize(
    "change",
    [
        (b"buy", b"hold"),
        (b"105944.20", b"0"),
        (b"105944.20", b'"x"'),
        (b"105944.20", b'"\\u00e9"'),
        (b"10218208", b"-1"),
        (b"2023-10-06T17:35:55.440295Z", b"2023-10-06T17:35:55"),
        (b"2023-10-06T17:35:55.440295Z", b"yesterday"),
        (b"{", b"["),
    ],
)
def test_an_impossible_trade_is_a_bad_record(change):
    with pytest.raises(BadRecordError):
        KRAKEN.parse(venue_file("kraken_ws_trade_update.json").replace(*change))


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["channel", "method", "data", "symbol", "price", "result"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything_else_is_parsed_or_a_bad_record(payload):
    with contextlib.suppress(BadRecordError):
        KRAKEN.parse(payload)


def test_deep_nesting_is_a_bad_record():
    with pytest.raises(BadRecordError):
        KRAKEN.parse(b'{"x":' + b"[" * 100_000)
