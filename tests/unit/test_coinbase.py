import contextlib
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import venue_file

from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds.adapter import Ack, Mark, Refusal, VenueTrade
from chaintide.streams.feeds.coinbase import ADVANCED, Coinbase
from chaintide.streams.feeds.sequence import Delivery, SequenceLogic
from chaintide.streams.records import Market

MARKET = Market("coinbase:BTC-USD")
COINBASE = Coinbase()


def captured() -> list[bytes]:
    lines = gzip.decompress(venue_file("coinbase_ws_capture.txt.gz")).splitlines()
    received = (line.partition(b": ") for line in lines if not line.startswith(b"wss:"))
    return [message for _, _, message in received if message]


def test_the_capture_holds_107_matches_and_nothing_malformed():
    messages = [m for payload in captured() for m in COINBASE.parse(payload)]
    trades = [m for m in messages if isinstance(m, VenueTrade)]
    assert len(trades) == 107
    assert trades[0] == VenueTrade(
        symbol="BAND-GBP",
        id=881613,
        time_us=1618677810244075,
        price=(147775, 4),
        size=(4, 2),
        side="b",
    )
    acks = [m for m in messages if isinstance(m, Ack)]
    assert len(acks) == 1
    assert len(acks[0].symbols or ()) == 10


def test_ids_in_the_capture_count_up_by_one():
    logics: dict[str, SequenceLogic] = {}
    delivered = 0
    for payload in captured():
        for message in COINBASE.parse(payload):
            if isinstance(message, VenueTrade):
                logic = logics.setdefault(message.symbol, SequenceLogic(MARKET))
                for output in logic.on_trades([message], now_ms=0):
                    assert isinstance(output, Delivery)
                    delivered += len(output.trades)
    assert delivered == 107


def test_recorded_advanced_trades_name_the_maker_side():
    first, second = COINBASE.parse(venue_file("coinbase_ws_market_trades.json"))
    assert isinstance(first, VenueTrade)
    assert isinstance(second, VenueTrade)
    assert (first.id, first.price, first.size, first.side) == (995098700, (689005, 1), (15, 4), "s")
    assert (second.time_us, second.side) == (1775572202800000, "b")


def test_recorded_heartbeats_say_nothing_and_subscriptions_acknowledge():
    assert COINBASE.parse(venue_file("coinbase_ws_heartbeats.json")) == []
    assert COINBASE.parse(venue_file("coinbase_ws_subscriptions.json")) == [
        Ack(("BTC-USD", "ETH-USD"))
    ]


def test_an_error_is_a_refusal():
    error = b'{"type":"error","message":"Failed to subscribe","reason":"X-Y is not valid"}'
    assert COINBASE.parse(error) == [Refusal("Failed to subscribe: X-Y is not valid")]


def test_each_dialect_subscribes_to_trades_and_heartbeats():
    (classic,) = COINBASE.subscribe([MARKET])
    assert json.loads(classic)["channels"] == ["matches", "heartbeat"]
    advanced = [json.loads(message) for message in Coinbase(ADVANCED).subscribe([MARKET])]
    assert [m["channel"] for m in advanced] == ["market_trades", "heartbeats"]


def test_a_backfill_asks_for_the_page_right_after_the_last_id():
    request = COINBASE.backfill_request(MARKET, Mark(73, 0))
    assert request.path == "/products/BTC-USD/trades"
    assert request.params == {"limit": "1000", "after": "1074"}
    answer = (
        b'[{"time":"2014-11-07T22:19:28.578544Z","trade_id":74,"price":"10.00000000",'
        b'"size":"0.01000000","side":"buy"}]'
    )
    (trade,) = COINBASE.parse_backfill(MARKET, answer).trades
    assert (trade.symbol, trade.id, trade.price, trade.side) == ("BTC-USD", 74, (10, 0), "s")


@pytest.mark.parametrize("change", [(b"BUY", b"HOLD"), (b"995098700", b"9.5")])
def test_an_impossible_trade_is_a_bad_record(change):
    with pytest.raises(BadRecordError):
        COINBASE.parse(venue_file("coinbase_ws_market_trades.json").replace(*change))


def test_a_message_of_no_kind_is_a_bad_record():
    with pytest.raises(BadRecordError):
        COINBASE.parse(b'{"message":"hello"}')


@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["match", "last_match", "subscriptions", "error"]),
            "channel": st.sampled_from(["market_trades", "subscriptions"]),
            "events": st.lists(st.dictionaries(st.sampled_from(["trades"]), st.text())),
            "trade_id": st.integers() | st.text(),
            "price": st.text(),
            "size": st.floats() | st.text("0123456789."),
            "side": st.sampled_from(["buy", "sell", ""]),
            "time": st.text() | st.datetimes().map(str),
        },
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything_else_is_parsed_or_a_bad_record(payload):
    with contextlib.suppress(BadRecordError):
        COINBASE.parse(payload)
