"""Recorded candles and trades as the columns that a learner would have been given."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from chaintide.agents.book import Book, Rules
from chaintide.agents.candles import CandleLogic
from chaintide.agents.learning.bars import Bars
from chaintide.agents.learning.references import References
from chaintide.agents.shelf import Shelf
from chaintide.streams.batches import batch_of
from chaintide.streams.intervals import INTERVALS, WIDTH_MS, Interval, open_time_ms
from chaintide.streams.recording import Row
from chaintide.streams.records import Candle, Market

_BATCH: Final = 1_000
_NEVER_US: Final = 2**60


class Recorded(msgspec.Struct, frozen=True):
    """One recorded candle; ``bought`` is NaN and ``mid`` is none where nobody knows."""

    market: Market
    open_time_ms: int
    high: float
    low: float
    close: float
    volume: float
    bought: float = float("nan")
    mid: float | None = None
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Candles of one interval in the order of their time; ``last`` is each one's last price."""

    interval: Interval
    markets: list[Market]
    bars: Bars
    last: "np.ndarray[tuple[int], np.dtype[np.float64]]"

    def ticks(self) -> Iterator[Bars]:
        """Yield the candles that open together."""
        times = self.bars.open_time_ms
        edges = [0, *(np.flatnonzero(np.diff(times)) + 1).tolist(), len(times)]
        for start, end in pairwise(edges):
            if end > start:
                yield self.bars.at(slice(start, end))


def of_candles(candles: Iterable[Recorded], interval: Interval) -> History:
    """Return candles of ``interval``, made of shorter ones if need be, without unfinished ones."""
    windows: dict[tuple[Market, int], Recorded] = {}
    ordered = sorted(candles, key=lambda one: one.open_time_ms)
    for candle in ordered:
        place = (candle.market, open_time_ms(candle.open_time_ms, interval))
        before = windows.get(place)
        windows[place] = (
            msgspec.structs.replace(candle, open_time_ms=place[1])
            if before is None
            else msgspec.structs.replace(
                before,
                high=max(before.high, candle.high),
                low=min(before.low, candle.low),
                close=candle.close,
                volume=before.volume + candle.volume,
            )
        )
    for unfinished in _unfinished(ordered, interval):
        del windows[unfinished]
    return _history(list(windows.values()), interval)


def of_trades(trades: Iterable[Row], interval: Interval) -> History:
    """Return the candles of ``interval`` that closed, made of trades as a worker makes them."""
    tapes: dict[Market, list[Row]] = {}
    for trade in trades:
        tapes.setdefault(trade.market, []).append(trade)
    recorded: list[Recorded] = []
    for market, tape in tapes.items():
        tape.sort(key=lambda trade: (trade.time_us, trade.id))
        recorded += _with_mids(_closed(market, tape, interval), interval)
    return _history(recorded, interval)


def _unfinished(candles: list[Recorded], interval: Interval) -> list[tuple[Market, int]]:
    last: dict[Market, int] = {}
    width: dict[Market, int] = {}  # of a market's candles: the shortest way from one to the next
    for market, opened_ms in ((each.market, each.open_time_ms) for each in candles):
        if market in last:
            width[market] = min(width.get(market, WIDTH_MS[interval]), opened_ms - last[market])
        last[market] = opened_ms
    places = {market: open_time_ms(last[market], interval) for market in width}
    ends = {market: place + WIDTH_MS[interval] for market, place in places.items()}
    return [
        (market, place)
        for market, place in places.items()
        if width[market] < WIDTH_MS[interval] and last[market] + width[market] < ends[market]
    ]


def _closed(market: Market, tape: list[Row], interval: Interval) -> list[Candle]:
    """Return the closed candles of one market, of one minute and of ``interval``."""
    logic = CandleLogic(market, Rules(horizon_us=_NEVER_US), Book(), Shelf())
    level, found = INTERVALS.index(interval), dict[tuple[int, int], Candle]()
    for start in range(0, len(tape), _BATCH):
        logic.on_trades(batch_of(market, tape[start : start + _BATCH]))
        for candle in logic.drain(range(level + 1))[0]:
            if candle.interval in {"1m", interval} and candle.status != "open":
                found[WIDTH_MS[candle.interval], candle.open_time_ms] = candle
    return sorted(found.values(), key=lambda one: (one.close_time_ms, -one.open_time_ms))


def _with_mids(candles: list[Candle], interval: Interval) -> Iterator[Recorded]:
    references = References(WIDTH_MS[interval])
    references.table.grow(1)
    for candle in candles:
        if candle.interval == "1m" and candle.vwap is not None:
            references.on_minute(0, float(candle.vwap), candle.close_time_ms)
        if candle.interval == interval:
            volume, quiet = float(candle.volume), candle.fill == "carry"
            yield Recorded(
                market=candle.market,
                open_time_ms=candle.open_time_ms,
                high=float(candle.high),
                low=float(candle.low),
                close=float(candle.close),
                volume=volume,
                bought=float(candle.taker_buy_volume) / volume if volume else float("nan"),
                mid=references.mid(0, candle.close_time_ms, quiet=quiet),
                quiet=quiet,
            )


def _history(candles: list[Recorded], interval: Interval) -> History:
    markets = list(dict.fromkeys(candle.market for candle in candles))
    rows = {market: row for row, market in enumerate(markets)}
    candles = sorted(candles, key=lambda one: (one.open_time_ms, rows[one.market]))
    last = np.array([candle.close for candle in candles], dtype=np.float64)
    prices = [candle.close if candle.mid is None else candle.mid for candle in candles]
    bars = Bars(
        rows=np.array([rows[candle.market] for candle in candles], dtype=np.int64),
        open_time_ms=np.array([candle.open_time_ms for candle in candles], dtype=np.int64),
        price=np.array(prices, dtype=np.float64),
        high=np.array([candle.high for candle in candles], dtype=np.float64),
        low=np.array([candle.low for candle in candles], dtype=np.float64),
        volume=np.array([candle.volume for candle in candles], dtype=np.float64),
        bought=np.array([candle.bought for candle in candles], dtype=np.float64),
        quiet=np.array([candle.quiet for candle in candles], dtype=np.bool_),
        mid=np.array([candle.mid is not None for candle in candles], dtype=np.bool_),
    )
    return History(interval, markets, bars, last)
