"""Recorded trades: every line is a trade or is rejected with its number."""

import pytest

from chaintide.api.publishing import Pace
from chaintide.streams.errors import BadRecordError
from chaintide.streams.recording import Reject, Row, read

HEADER = "market,trade_id,time_us,price,size,side,trader"


def test_columns_may_stand_in_any_order_and_the_last_two_may_be_missing():
    [row] = read(["price,size,market,time_us,trade_id", "1.50,2,kraken:A-B,7,9"])
    assert row == Row("kraken:A-B", 9, 7, (15, 1), (2, 0), "?", "")


def test_a_trader_is_kept():
    [row] = read([HEADER, "5151:0xab,9,7,1,2,sell,0xcd"])
    assert isinstance(row, Row)
    assert (row.side, row.trader) == ("s", "0xcd")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("kraken:A-B,1,2,3,4,up,", "side 'up' is not buy or sell"),
        ("A-B,1,2,3,4,buy,", "market 'A-B' is not venue:SYMBOL"),
        ("kraken:A-B,1,-2,3,4,buy,", "time_us '-2' is not a time in microseconds"),
        ("kraken:A-B,1,2,NaN,4,buy,", "not a decimal number: 'NaN'"),
        ("kraken:A-B,1,2,3,0,buy,", "size is not above 0"),
        ("kraken:A-B", "1 cells, the header has 7"),
    ],
)
def test_a_line_that_is_no_trade_is_rejected(line: str, reason: str):
    good = "kraken:A-B,1,2,3,4,buy,"
    first, second, third = read([HEADER, good, line, good])
    assert second == Reject(3, reason, line)
    assert isinstance(first, Row)
    assert first == third


def test_a_header_without_columns_is_an_error_that_names_them():
    with pytest.raises(BadRecordError, match="lacks trade_id, size"):
        list(read(["market,time_us,price", "a"]))


def test_pace_follows_event_time():
    pace = Pace(60)
    assert pace.delay_s(1_000_000, now_s=100) == 0
    assert pace.delay_s(121_000_000, now_s=101) == pytest.approx(1)
    assert pace.delay_s(61_000_000, now_s=105) < 0
