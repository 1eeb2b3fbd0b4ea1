"""Recorded trades in CSV files: one trade a line, under a header that names the columns."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chaintide.streams import codec, decimals
from chaintide.streams.errors import BadRecordError
from chaintide.streams.records import Market, Side, Trade

REQUIRED: Final = ("market", "trade_id", "time_us", "price", "size")
COLUMNS: Final = (*REQUIRED, "side", "trader")
_NAMES: Final[dict[str, Side | None]] = {
    "buy": "buy",
    "b": "buy",
    "sell": "sell",
    "s": "sell",
    "": None,
}
MAX_EQUAL: Final = 10_000  # how many trades without id are remembered, to count equal ones
MAX_DIGITS: Final = 18  # of a time
_SIDES: Final = {"buy": "b", "b": "b", "sell": "s", "s": "s", "": "?"}


class Row(msgspec.Struct, frozen=True):
    """One recorded trade; price and size are ``(n, scale)``."""

    market: Market
    id: int
    time_us: int
    price: tuple[int, int]
    size: tuple[int, int]
    side: str
    trader: str


class Reject(msgspec.Struct, frozen=True):
    """A line that is no trade: its number from 1, why, and what it says."""

    line: int
    reason: str
    text: str


def read(lines: Iterable[str]) -> Iterator[Row | Reject]:
    """Yield every line below the header as a trade or as a reject.

    >>> list(read(["market,trade_id,time_us,price,size", "kraken:BTC-USD,1,2,-3,4"]))
    [Reject(line=2, reason='price is not above 0', text='kraken:BTC-USD,1,2,-3,4')]

    Raises:
        BadRecordError: If the header lacks a column, or a quote is opened and not closed.
    """
    table = filled(lines)
    _, header = next(table, (1, []))
    if missing := [name for name in REQUIRED if name not in header]:
        raise BadRecordError(f"the first line must name the columns, it lacks {', '.join(missing)}")
    places = [header.index(name) if name in header else -1 for name in COLUMNS]
    width = len(header)
    equal: Counter[tuple[Market, int]] = Counter()
    for line, cells in table:
        try:
            yield _row(_chosen(cells, places, width), equal)
        except BadRecordError as error:
            yield Reject(line, error.reason, ",".join(cells))


def filled(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty as their numbers and cells, the header first.

    >>> list(filled(["a,b", "", "1,2"]))
    [(1, ['a', 'b']), (3, ['1', '2'])]

    Raises:
        BadRecordError: If a quote is opened and not closed.
    """
    table = csv.reader(lines)
    width = last = 0
    try:
        for cells in table:
            first, last = last + 1, table.line_num
            width = width or len(cells)
            if last > first and len(cells) != width:
                raise BadRecordError(f"line {first}: a quote is opened and not closed")
            if cells:
                yield first, cells
    except csv.Error as error:
        raise BadRecordError(
            f"no table from line {last + 1} on: {error}; is there a quote that is not closed?"
        ) from error


def _chosen(cells: list[str], places: list[int], width: int) -> list[str]:
    if len(cells) != width:
        raise BadRecordError(f"{len(cells)} cells, the header has {width}")
    return ["" if place < 0 else cells[place] for place in places]


def _row(cells: list[str], equal: Counter[tuple[Market, int]]) -> Row:
    market, number, time, price_text, size_text, side, trader = cells
    if side not in _SIDES:
        raise BadRecordError(f"side {side!r} is not buy or sell")
    if not codec.MARKET.fullmatch(market):
        raise BadRecordError(f"market {market!r} is not venue:SYMBOL")
    if not (time.isascii() and time.isdigit() and len(time) <= MAX_DIGITS):
        raise BadRecordError(f"time_us {time!r} is not a time in microseconds")
    price, size = decimals.parse(price_text), decimals.parse(size_text)
    for name, value in (("price", price), ("size", size)):
        if value[0] <= 0:
            raise BadRecordError(f"{name} is not above 0")
    trade = Trade(
        market=Market(market),
        time_us=int(time),
        price=price_text,
        size=size_text,
        trade_id=number or None,
        side=_NAMES[side],
    )
    trade_id = codec.trade_id(trade)
    if not number:
        trade_id = codec.trade_id(trade, _ordinal(equal, (trade.market, trade_id)))
    return Row(trade.market, trade_id, trade.time_us, price, size, _SIDES[side], trader)


def _ordinal(equal: Counter[tuple[Market, int]], content: tuple[Market, int]) -> int:
    ordinal = equal.pop(content, 0)
    equal[content] = ordinal + 1  # now the last to be forgotten
    if len(equal) > MAX_EQUAL:
        del equal[next(iter(equal))]
    return ordinal
