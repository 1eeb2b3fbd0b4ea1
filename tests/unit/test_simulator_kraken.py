"""What the simulator says on the wire, compared with what Kraken says."""

import json

from chaintide.streams.simulator import kraken, rest
from chaintide.streams.simulator.exchange import ExchangeLogic, Frame, Settings
from chaintide.streams.simulator.faults import Fault
from chaintide.streams.simulator.session import SessionLogic
from chaintide.streams.simulator.trades import MARKETS, SimTrade

NOW_US = 1_763_000_000_000_000
SECOND_US = 1_000_000
BTC = MARKETS[0]
TRADES = [
    SimTrade(
        trade_id=10218208,
        time_us=1_696_613_755_440_295,
        price=1059442,
        size=27625,
        side="b",
        order_type="l",
    ),
    SimTrade(
        trade_id=10218209,
        time_us=1_696_613_756_123_456,
        price=1059105,
        size=12460,
        side="s",
        order_type="m",
    ),
]
# As recorded, but for white space and the trailing zeros that follow the tick size.
RECORDED = (
    '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy",'
    '"price":105944.2,"qty":0.00027625,"ord_type":"limit","trade_id":10218208,'
    '"timestamp":"2023-10-06T17:35:55.440295Z"},{"symbol":"BTC/USD","side":"sell",'
    '"price":105910.5,"qty":0.00012460,"ord_type":"market","trade_id":10218209,'
    '"timestamp":"2023-10-06T17:35:56.123456Z"}]}'
)
RECORDED_PAIR_FIELDS = (
    "altname wsname aclass_base base aclass_quote quote lot cost_decimals pair_decimals "
    "lot_decimals lot_multiplier leverage_buy leverage_sell fees fees_maker fee_volume_currency "
    "margin_call margin_stop ordermin costmin tick_size status"
)


def exchange() -> ExchangeLogic:
    return ExchangeLogic(Settings(markets=MARKETS[:2]), now_us=NOW_US)


def ask(session: SessionLogic, **request: object) -> list[dict[str, object]]:
    frames = session.on_request(json.dumps(request), now_us=NOW_US)
    return [json.loads(frame) for frame in frames]


def get(venue: ExchangeLogic, method: str, **query: str) -> dict[str, object]:
    return json.loads(rest.answer(venue, method, query, now_us=NOW_US))


def subscribed(venue: ExchangeLogic) -> SessionLogic:
    session = SessionLogic(venue, opened_us=NOW_US)
    ask(session, method="subscribe", params={"channel": "trade", "symbol": ["BTC/USD"]})
    return session


def test_a_trade_frame_is_as_recorded():
    assert kraken.trade_frame(BTC, TRADES, "update") == RECORDED


def test_rest_rows_are_as_recorded():
    body = json.loads(kraken.rest_trades(BTC, TRADES[:1], 0))
    row = ["105944.20000", "0.00027625", 1696613755.440295, "b", "l", "", 10218208]
    assert body == {"error": [], "result": {"XXBTZUSD": [row], "last": "1696613755440295000"}}


def test_an_empty_page_keeps_the_cursor():
    assert json.loads(kraken.rest_trades(BTC, [], 17))["result"] == {"XXBTZUSD": [], "last": "17"}


def test_the_greeting_says_online():
    greeting = json.loads(SessionLogic(exchange(), opened_us=NOW_US).greeting())
    assert greeting["channel"] == "status"
    assert greeting["data"][0] | {"version": "", "connection_id": 0} == {
        "version": "",
        "system": "online",
        "api_version": "v2",
        "connection_id": 0,
    }


def test_a_subscription_is_acknowledged_then_told_the_last_50_trades():
    params = {"channel": "trade", "symbol": ["BTC/USD", "ETH/USD"]}
    venue = exchange()
    answers = ask(
        SessionLogic(venue, opened_us=NOW_US), method="subscribe", params=params, req_id=3
    )
    assert [a.get("type", "ack") for a in answers] == ["ack", "snapshot"] * 2
    assert answers[0] == {
        "method": "subscribe",
        "req_id": 3,
        "result": {"channel": "trade", "snapshot": True, "symbol": "BTC/USD"},
        "success": True,
        "time_in": "2025-11-13T02:13:20.000000Z",
        "time_out": "2025-11-13T02:13:20.000060Z",
    }
    told = [row["trade_id"] for row in answers[1]["data"]]
    assert told == [trade.trade_id for trade in venue.recent("BTC-USD")]
    assert len(told) == 50


def test_no_snapshot_when_none_is_wanted():
    params = {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}
    [answer] = ask(SessionLogic(exchange(), opened_us=NOW_US), method="subscribe", params=params)
    assert answer["success"] is True


def test_requests_that_make_no_sense_are_refused():
    session = SessionLogic(exchange(), opened_us=NOW_US)
    unknown = {"channel": "trade", "symbol": ["NO/USD"]}
    [refusal] = ask(session, method="subscribe", params=unknown)
    assert (refusal["success"], refusal["error"]) == (False, "Currency pair not supported NO/USD")
    [refusal] = ask(session, method="subscribe", params={"channel": "book", "symbol": ["BTC/USD"]})
    assert refusal["error"] == "Unsupported request"
    [refusal] = session.on_request("{", now_us=NOW_US)
    assert "Malformed" in refusal


def test_a_ping_is_answered_with_its_number():
    [pong] = ask(SessionLogic(exchange(), opened_us=NOW_US), method="ping", req_id=101)
    assert (pong["method"], pong["req_id"]) == ("pong", 101)


def test_only_subscribers_hear_and_only_their_markets():
    venue = exchange()
    frames = [Frame("BTC-USD", "btc"), Frame("ETH-USD", "eth")]
    assert SessionLogic(venue, opened_us=NOW_US).on_frames(frames, now_us=NOW_US) == []
    session = subscribed(venue)
    assert session.on_frames(frames, now_us=NOW_US) == ["btc"]
    ask(session, method="unsubscribe", params={"channel": "trade", "symbol": ["BTC/USD"]})
    assert session.on_frames(frames, now_us=NOW_US) == []


def test_a_heartbeat_comes_after_a_second_of_silence():
    session = subscribed(exchange())
    assert session.on_frames([], now_us=NOW_US + SECOND_US - 1) == []
    assert session.on_frames([], now_us=NOW_US + SECOND_US) == [kraken.HEARTBEAT]
    assert session.on_frames([], now_us=NOW_US + SECOND_US + 1) == []
    trade = [Frame("BTC-USD", "btc")]
    assert session.on_frames(trade, now_us=NOW_US + 2 * SECOND_US - 1) == ["btc"]
    assert session.on_frames([], now_us=NOW_US + 2 * SECOND_US) == []


def test_rest_pages_reach_every_trade_from_a_cursor():
    venue, seen, since = exchange(), set(), "0"
    while True:
        result = get(venue, "Trades", pair="XBTUSD", since=since, count="100")["result"]
        seen |= {row[6] for row in result["XXBTZUSD"]}
        if len(result["XXBTZUSD"]) < 100:
            break
        since = str(int(result["last"]) - 1)
    truth = [int(line.split(",")[1]) for line in venue.csv("BTC-USD").splitlines()[1:]]
    assert sorted(seen) == truth


def test_since_is_exclusive():
    venue = exchange()
    cursor_us = venue.recent("BTC-USD")[0].time_us
    at = venue.since("BTC-USD", cursor_us * 1000, 1000)
    before = venue.since("BTC-USD", cursor_us * 1000 - 1, 1000)
    assert min(trade.time_us for trade in at) > cursor_us
    assert min(trade.time_us for trade in before) == cursor_us


def test_every_name_of_a_pair_is_understood():
    names = ("XBTUSD", "XXBTZUSD", "XBT/USD", "BTC/USD", "BTCUSD")
    assert all("XXBTZUSD" in get(exchange(), "Trades", pair=name)["result"] for name in names)


def test_the_other_answers():
    venue = exchange()
    assert get(venue, "Trades", pair="NOUSD") == {"error": ["EQuery:Unknown asset pair"]}
    assert get(venue, "Trades", pair="XBTUSD", since="x") == {
        "error": ["EGeneral:Invalid arguments"]
    }
    assert get(venue, "SystemStatus")["result"] == {
        "status": "online",
        "timestamp": "2025-11-13T02:13:20Z",
    }
    assert get(venue, "Time")["result"]["unixtime"] == NOW_US // SECOND_US
    assert get(venue, "Depth") == {"error": ["EGeneral:Unknown method"]}


def test_asset_pairs_have_the_recorded_fields():
    pairs = get(exchange(), "AssetPairs")["result"]
    assert list(pairs) == ["XXBTZUSD", "XETHZUSD"]
    assert list(pairs["XXBTZUSD"]) == RECORDED_PAIR_FIELDS.split()
    assert (
        get(exchange(), "AssetPairs", pair="XETHZUSD")["result"]["XETHZUSD"]["tick_size"] == "0.01"
    )
    assert get(exchange(), "AssetPairs", pair="XBTUSD,NO")["error"] == ["EQuery:Unknown asset pair"]


def test_the_truth_holds_what_rest_has_lost():
    venue = exchange()
    lost = Fault(name="skip_refused", symbol="BTC-USD", count=3)
    venue.faults.on_fault(lost, now_us=NOW_US)
    venue.step(NOW_US + 60 * SECOND_US)
    truth = {int(line.split(",")[1]) for line in venue.csv("BTC-USD").splitlines()[1:]}
    told = {trade.trade_id for trade in venue.since("BTC-USD", 0, 10_000)}
    assert len(truth - told) == 3
