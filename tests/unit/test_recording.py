"""Recorded trades: every line is a trade or is rejected with its number."""

import pytest

from chaintide.api.publishing import Pace
from chaintide.streams.errors import BadRecordError
from chaintide.streams.recording import MAX_EQUAL, Reject, Row, read

HEADER = "market,trade_id,time_us,price,size,side,trader"


def ids(*lines: str) -> list[int]:
    rows = [row for row in read([HEADER, *lines]) if isinstance(row, Row)]
    assert len(rows) == len(lines)
    return [row.id for row in rows]


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
        (
            f"kraken:A-B,1,{'9' * 19},3,4,buy,",
            f"time_us '{'9' * 19}' is not a time in microseconds",
        ),
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


def test_a_quote_that_is_not_closed_is_an_error_that_names_its_line():
    good = "kraken:A-B,1,2,3,4,buy,"
    rows = read([f"{HEADER}\n", f"{good}\n", f'"{good}\n', f"{good}\n"])
    assert isinstance(next(rows), Row)
    with pytest.raises(BadRecordError, match="line 3: a quote is opened and not closed"):
        next(rows)


def test_a_cell_may_have_several_lines():
    rows = list(read([f"{HEADER},note\n", 'kraken:A-B,1,2,3,4,buy,,"a\n', 'b"\n', "x\n"]))
    assert [type(row) for row in rows] == [Row, Reject]
    assert isinstance(rows[1], Reject)
    assert rows[1].line == 4


def test_a_header_without_columns_is_an_error_that_names_them():
    with pytest.raises(BadRecordError, match="lacks trade_id, size"):
        list(read(["market,time_us,price", "a"]))


LINE = "kraken:A-B,,2,3,4,buy,"


def test_equal_lines_without_an_id_are_as_many_trades_in_every_reading():
    first = ids(LINE, "kraken:A-B,,3,3,4,buy,", LINE, LINE)
    assert len(set(first)) == 4
    assert ids(LINE, "kraken:A-B,,3,3,4,buy,", LINE, LINE) == first
    assert ids(LINE, LINE) == [first[0], first[2]], "a file with fewer of them adds none"


@pytest.mark.parametrize(
    "other",
    ["kraken:A-B,,2,3,4,b,", "kraken:A-B,,02,3,4,buy,", "kraken:A-B,,2,3,4,buy,0xcd"],
    ids=["side", "time", "trader"],
)
def test_lines_that_would_have_one_hash_are_counted_as_equal(other: str):
    assert len(set(ids(LINE, other))) == 2


def test_markets_count_apart():
    here, there = ids(LINE, LINE.replace("A-B", "C-D"))
    assert here == there, "a trade id belongs to its market"


def test_a_line_with_an_id_does_not_count_among_those_without():
    assert ids(LINE, LINE.replace(",,", ",7,"), LINE)[1] == 7
    assert ids(LINE, LINE.replace(",,", ",7,"), LINE)[::2] == ids(LINE, LINE)


def test_equal_lines_are_told_apart_while_fewer_than_ten_thousand_others_stand_between():
    others = [f"kraken:A-B,,{n},3,4,buy," for n in range(100, 100 + MAX_EQUAL)]
    near, far = ids(LINE, *others[1:], LINE), ids(LINE, *others, LINE)
    assert near[0] != near[-1]
    assert far[0] == far[-1]


def test_a_quote_that_is_never_closed_is_an_error_that_says_so():
    lines = [HEADER, LINE, f'"{LINE}', *[LINE] * 10_000]
    with pytest.raises(BadRecordError, match="a quote that is not closed"):
        list(read(line + "\n" for line in lines))


def test_pace_follows_event_time():
    pace = Pace(60)
    assert pace.delay_s(1_000_000, now_s=100) == 0
    assert pace.delay_s(121_000_000, now_s=101) == pytest.approx(1)
    assert pace.delay_s(61_000_000, now_s=105) < 0
