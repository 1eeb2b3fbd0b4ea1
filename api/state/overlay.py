"""The newest candles of all markets, as their topic says, bounded in total."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from chaintide.api.live.update import Update
from chaintide.api.state.series import Series
from chaintide.api.state.ticker import TickerFigures
from chaintide.sinks.conflation import Version, version
from chaintide.streams import codec
from chaintide.streams.intervals import Interval
from chaintide.streams.records import Candle, CandleBatch, Market

MAX_CANDLES: Final = 200_000
PLACES: Final = 1_000  # in one record
Key = tuple[Market, Interval]


def seq_of(offset: int, place: int = 0) -> int:
    """Return the place in the log that channels count by; 0 is before all of it.

    >>> seq_of(0), seq_of(41, 7)
    (1000, 42007)
    """
    return (offset + 1) * PLACES + place


def candle_update(seq: int, candle: Candle, published_ms: int) -> Update:
    """Return the update that tells readers of a candle."""
    return Update(
        channel=f"candles:{candle.market}:{candle.interval}",
        seq=seq,
        key=candle.open_time_ms,
        type="correction" if candle.status == "corrected" else "update",
        event_ms=candle.updated_ms,
        published_ms=published_ms,
        data=codec.encode(candle),
    )


def ticker_update(figures: TickerFigures, *, seq: int, event_ms: int, published_ms: int) -> Update:
    """Return the update that tells readers of the figures of a market."""
    return Update(
        channel=f"ticker:{figures.market}",
        seq=seq,
        key="ticker",
        type="update",
        event_ms=event_ms,
        published_ms=published_ms,
        data=codec.encode(figures),
    )


class Overlay:
    """One series for each market and interval.

    Beyond 200,000 candles the series that were not used for longest are emptied. A batch with a
    lower (generation, offset) than an earlier one of its market is stale and changes nothing.
    """

    def __init__(self, max_candles: int = MAX_CANDLES) -> None:
        self._max_candles = max_candles
        self._series: OrderedDict[Key, Series] = OrderedDict()
        self._newest: dict[Market, Version] = {}
        self._total = 0

    def apply(self, batch: CandleBatch, offset: int) -> list[tuple[int, Candle]]:
        """Take the batch in the record at ``offset`` and return what changed, with its seq."""
        if version(batch) < self._newest.get(batch.market, version(batch)):
            return []
        self._newest[batch.market] = version(batch)
        changed = []
        for place, candle in enumerate(batch.candles[:PLACES]):
            seq = seq_of(offset, place)
            series = self._used(batch.market, candle.interval)
            before = len(series)
            if series.put(candle):
                changed.append((seq, candle))
            self._total += len(series) - before
        self._empty_unused()
        return changed

    def load(self, key: Key, stored: Sequence[Candle], *, is_whole: bool) -> None:
        """Let the series of ``key`` begin with ``stored``, the newest candles of a store."""
        series = self._used(*key)
        before = len(series)
        series.load(stored, is_whole=is_whole)
        self._total += len(series) - before
        self._empty_unused()

    def series(self, market: Market, interval: Interval) -> Series | None:
        """Return the series, or None if its topic said nothing of it yet."""
        return self._series.get((market, interval))

    def over(
        self, key: Key, stored: list[Candle], start_ms: int | None, end_ms: int | None
    ) -> list[Candle]:
        """Return what a store has of ``[start_ms, end_ms)``, or newer forms of it."""
        series = self._series.get(key)
        return stored if series is None else series.over(stored, start_ms, end_ms)

    def _used(self, market: Market, interval: Interval) -> Series:
        key = (market, interval)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
        self._series.move_to_end(key)
        return series

    def _empty_unused(self) -> None:
        if self._total <= self._max_candles:
            return
        for series in self._series.values():
            self._total -= len(series)
            series.forget()
            if self._total <= self._max_candles:
                return
