"""The line protocol, letter by letter."""

from anomalies import anomaly
from candles import batch, candle, gap

from chaintide.sinks.points import anomaly_point, candle_point, gap_point, points

ODD = {"first_trade_id": None, "last_trade_id": None}


def fields_of(line: str) -> dict[str, str]:
    fields = line.split(" ", 1)[1].split(",exact=", maxsplit=1)[0]
    return dict(part.split("=", 1) for part in fields.split(","))


def test_a_candle_is_a_point_at_its_open_time():
    line = candle_point(candle(1))
    assert line.startswith(
        "candles,market=kraken:BTC-USDT,venue=kraken,symbol=BTC-USDT,interval=1m open=64000.10,"
    )
    assert '\\"updated_ms\\":122000,\\"reason\\":null,' in line
    assert line.endswith('\\"has_more_traders\\":false}" 60000000000')


def test_every_candle_has_the_same_fields_of_the_same_types():
    quiet = candle(0, vwap=None, trades=0, fill="carry", status="open", **ODD)
    assert fields_of(candle_point(quiet)).keys() == fields_of(candle_point(candle())).keys()
    assert fields_of(candle_point(quiet)) == {
        "open": "64000.10",
        "high": "64000.123456789012345678",
        "low": "63999",
        "close": "64000.00",
        "volume": "0.30000000000000000004",
        "quote_volume": "19200.000000000000000001",
        "vwap": "64000.00",
        "taker_buy_volume": "0",
        "trades": "0i",
        "revision": "1i",
        "complete": "True",
        "status": '"open"',
        "fill": '"carry"',
        "reason": '""',
        "unique_traders": "-1i",
        "has_more_traders": "False",
    }


def test_a_gap_is_a_point_at_its_start():
    line = gap_point(gap(5, reason='"\\'))
    assert line.startswith(
        "gaps,market=kraken:BTC-USDT,venue=kraken,symbol=BTC-USDT to_us=1000005i"
    )
    assert r"\"reason\":\"\\\"\\\\\"" in line
    assert line.endswith(" 5000")


def test_an_empty_tag_is_left_out():
    assert gap_point(gap(market="x:")).startswith("gaps,market=x:,venue=x to_us=")


def test_each_candle_and_each_gap_of_a_batch_is_a_line():
    assert points([batch(candle(0), gaps=[gap()]), batch(candle(1))]) == [
        candle_point(candle(0)),
        gap_point(gap()),
        candle_point(candle(1)),
    ]


def test_an_anomaly_is_a_point_at_its_place():
    line = anomaly_point(anomaly(5))
    assert line.startswith(
        "anomalies,market=kraken:BTC-USDT,venue=kraken,symbol=BTC-USDT score=0.875,"
        'kind="size",status="raised",event="",reasons=1i,exact='
    )
    assert line.endswith(f" {anomaly(5).place}")
