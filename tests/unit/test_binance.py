import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import venue_file

from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds.adapter import Ack, Mark, Refusal, VenueTrade
from chaintide.streams.feeds.binance import Binance
from chaintide.streams.records import Market

MARKET = Market("binance:BTC-USDT")
BINANCE = Binance()


def test_a_recorded_trade_is_exact_and_its_taker_sold():
    assert BINANCE.parse(venue_file("binance_trade_stream.json")) == [
        VenueTrade(
            symbol="BTCUSDT",
            id=5933014,
            time_us=123456785000,
            price=(1, 3),
            size=(100, 0),
            side="s",
        )
    ]


def test_aggregate_trades_are_not_trades():
    assert BINANCE.parse(venue_file("binance_agg_trade_stream.json")) == []


def test_recorded_rest_trades():
    page = BINANCE.parse_backfill(MARKET, venue_file("binance_trades_response.json"))
    (trade,) = page.trades
    assert (trade.symbol, trade.id, trade.time_us) == ("BTCUSDT", 28457, 1499865549590000)
    assert (trade.price, trade.size, trade.side) == ((4000001, 6), (12, 0), "s")
    assert not page.is_full


def test_a_backfill_starts_at_the_next_id():
    request = BINANCE.backfill_request(MARKET, Mark(28456, 0))
    assert request.path == "/api/v3/historicalTrades"
    assert request.params == {"symbol": "BTCUSDT", "fromId": "28457", "limit": "1000"}


def test_the_subscription_is_acknowledged_as_a_whole_or_refused():
    (message,) = BINANCE.subscribe([MARKET])
    assert json.loads(message)["params"] == ["btcusdt@trade"]
    assert BINANCE.parse(b'{"result":null,"id":1}') == [Ack(None)]
    refusal = b'{"error":{"code":2,"msg":"Invalid request"},"id":1}'
    assert BINANCE.parse(refusal) == [Refusal("Invalid request")]


def test_a_refused_backfill_is_a_bad_record():
    with pytest.raises(BadRecordError):
        BINANCE.parse_backfill(MARKET, b'{"code":-1121,"msg":"Invalid symbol."}')


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["e", "s", "t", "p", "q", "T", "m", "id", "error"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("trade"),
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything_else_is_parsed_or_a_bad_record(payload):
    with contextlib.suppress(BadRecordError):
        BINANCE.parse(payload)
