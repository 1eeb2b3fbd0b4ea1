"""Files of a backtest: recorded trades, or candles, one a line under a header."""

import gzip
import io
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec

from chaintide.agents.learning.history import History, Recorded, of_candles, of_trades
from chaintide.streams import codec, recording
from chaintide.streams.errors import BadRecordError, ConfigError
from chaintide.streams.intervals import Interval
from chaintide.streams.recording import Reject, Row, filled
from chaintide.streams.records import Market

COLUMNS: Final = ("market", "open_time_ms", "open", "high", "low", "close", "volume")
_PRICES: Final = ("open", "high", "low", "close")
_LARGEST_MS: Final = 10**14
_Kind = TypeVar("_Kind", Recorded, Row)


class Loaded(msgspec.Struct):
    """What a file holds, and the lines of it that are neither trades nor candles."""

    history: History
    rejects: list[Reject]


def load(file: Path, interval: Interval) -> Loaded:
    """Return the candles of ``interval`` that ``file`` records, plain or ``.gz``.

    Raises:
        ConfigError: If it cannot be read, or its first line names neither columns.
    """
    try:
        with file.open("rb") as raw:
            plain = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
            text = io.TextIOWrapper(
                cast("io.BufferedReader", plain), "utf-8-sig", errors="backslashreplace", newline=""
            )
            lines = list(text)
        return parsed(lines, interval)
    except (BadRecordError, EOFError, OSError, zlib.error) as error:
        raise ConfigError(f"{file}: {error}") from error


def parsed(lines: list[str], interval: Interval) -> Loaded:
    """Return the candles of ``interval`` that ``lines`` record.

    Raises:
        BadRecordError: If the first line names neither the columns of trades nor of candles.
    """
    _, header = next(filled(lines[:1]), (1, []))
    if "open_time_ms" in header:
        candles, rejects = _sorted(read_candles(lines), Recorded)
        return Loaded(of_candles(candles, interval), rejects)
    if "time_us" in header:
        trades, rejects = _sorted(recording.read(lines), Row)
        return Loaded(of_trades(trades, interval), rejects)
    trades_header, candles_header = ",".join(recording.COLUMNS), ",".join(COLUMNS)
    raise BadRecordError(
        f"the first line must name the columns: {candles_header} or {trades_header}"
    )


def read_candles(lines: Iterable[str]) -> Iterator[Recorded | Reject]:
    """Yield every line below the header as a candle or as a reject.

    >>> [bad] = read_candles(["market,open_time_ms,open,high,low,close,volume", "v:M,0,1,1,1,0,0"])
    >>> bad.line, bad.reason
    (2, 'close is not above 0')
    """
    table = filled(lines)
    _, header = next(table, (1, []))
    if missing := [name for name in COLUMNS if name not in header]:
        raise BadRecordError(f"the first line must name the columns, it lacks {', '.join(missing)}")
    seen = set[tuple[str, int]]()
    for line, cells in table:
        try:
            candle = _candle(_named(header, cells))
            _see(seen, (candle.market, candle.open_time_ms))
            yield candle
        except BadRecordError as error:
            yield Reject(line, error.reason, ",".join(cells))


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise BadRecordError(f"{len(cells)} cells, the header has {len(header)}")
    return dict(zip(header, cells, strict=True))


def _see(seen: set[tuple[str, int]], place: tuple[str, int]) -> None:
    if place in seen:
        raise BadRecordError("another candle of this market opened at the same time")
    seen.add(place)


def _candle(cells: dict[str, str]) -> Recorded:
    market, time = cells["market"], cells["open_time_ms"]
    if not codec.MARKET.fullmatch(market):
        raise BadRecordError(f"market {market!r} is not venue:SYMBOL")
    digits = time.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or abs(int(time[:20])) > _LARGEST_MS:
        raise BadRecordError(f"open_time_ms {time!r} is not a time in milliseconds")
    prices = {name: _number(name, cells[name]) for name in _PRICES}
    for name, price in prices.items():
        if price <= 0:
            raise BadRecordError(f"{name} is not above 0")
    volume = _number("volume", cells["volume"] or "0")
    if volume < 0:
        raise BadRecordError("volume is below 0")
    if not prices["low"] <= min(prices.values()) or prices["high"] < max(prices.values()):
        raise BadRecordError("the prices are not between low and high")
    return Recorded(
        market=Market(market),
        open_time_ms=int(time),
        high=prices["high"],
        low=prices["low"],
        close=prices["close"],
        volume=volume,
    )


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadRecordError(f"{name} {text[:60]!r} is not a number")
    return number


def _sorted(rows: Iterable[_Kind | Reject], kind: type[_Kind]) -> tuple[list[_Kind], list[Reject]]:
    good, bad = list[_Kind](), list[Reject]()
    for row in rows:
        if isinstance(row, kind):
            good.append(row)
        elif isinstance(row, Reject):
            bad.append(row)
    return good, bad
