"""The learner of one interval: closed candles in, predictions and scores out.

It holds all markets of a partition and all horizons. Fed with the same candles in the same
order it says the same, however they are grouped into calls. No clock, no I/O.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from chaintide.agents.learning.bars import Bars, repaired, usable
from chaintide.agents.learning.features import FeatureLogic, Seen
from chaintide.agents.learning.horizon import HorizonLogic, Issued, Settled
from chaintide.agents.learning.pending import Counts
from chaintide.agents.learning.references import References
from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.table import Column, Flags, Floats, Ints, Table, rows_until
from chaintide.streams.intervals import ORIGIN_MS, WIDTH_MS, Interval
from chaintide.streams.records import Market

DEFAULT_HORIZONS = (1, 5, 15)
MAX_HORIZON = 48
_LONG_AGO = -(2**62)
_Number = TypeVar("_Number", int, Ints)


@dataclass(frozen=True, slots=True)
class Tick:
    """What closed candles of different markets led to, at one horizon."""

    horizon: int
    bars: Bars
    settled: list[Settled]
    issued: Issued


class Learner:
    """Predictions of every market at one interval, one step for each closed candle."""

    def __init__(
        self,
        interval: Interval,
        horizons: Sequence[int] = DEFAULT_HORIZONS,
        rules: Rules | None = None,
    ) -> None:
        self.interval = interval
        self.width_ms = WIDTH_MS[interval]
        self.rules = rules or Rules()
        self.markets: list[Market] = []
        self.features = FeatureLogic(self.width_ms)
        self.references = References(self.width_ms)
        self.horizons = {horizon: HorizonLogic(self.rules, horizon) for horizon in horizons}
        self.table = Table({}, {"last": Column(_LONG_AGO), "heard": Column(), "refused": Column()})
        self._rows: dict[Market, int] = {}

    def row(self, market: Market) -> int:
        """Return the row of ``market``, a new one if it is not known yet."""
        row = self._rows.get(market)
        if row is None:
            row = self._rows[market] = len(self.markets)
            self.markets.append(market)
            for table in self.tables().values():
                table.grow(row + 1)
        return row

    def close_ms(self, candle: _Number) -> _Number:
        """Return when the candle of this number closes, or those of these numbers."""
        return ORIGIN_MS[self.interval] + (candle + 1) * self.width_ms

    def rows(self, markets: Sequence[Market]) -> Ints:
        """Return the rows of ``markets``."""
        return np.array([self.row(market) for market in markets], dtype=np.int64)

    # ------------------------------------------------------------------ events

    def on_closed(self, bars: Bars) -> list[Tick]:
        """Learn from closed candles, predict, and return both.

        Candles that are not newer than the last of their market, or that have no price, change
        nothing but ``refused``.
        """
        ticks: list[Tick] = []
        for wave in self._waves(bars):
            seen = self.features.on_closed(wave, rows_until(len(self.markets), wave.rows))
            ticks += self._ticks(wave, seen)
        return ticks

    def on_open(self, bars: Bars) -> list[Tick]:
        """Return what would be predicted if these candles closed now; nothing is learned.

        They follow the last that their market learned from, one by one; of several the newest is
        predicted from. Where one is missing, nothing is said.
        """
        bars = self._following(bars)
        if not len(bars):
            return []
        is_newest = np.append(bars.rows[1:] != bars.rows[:-1], True)
        newest = bars.at(is_newest)
        seen = self._seen(bars, is_newest)
        candles = self._candles(newest.open_time_ms)
        return [
            Tick(horizon, newest, [], logic.peek(newest.rows, candles, seen))
            for horizon, logic in self.horizons.items()
        ]

    def on_corrected(self, bars: Bars) -> int:
        """Score again what corrected candles had given a label; return how many labels changed."""
        amended = 0
        candles = self._candles(bars.open_time_ms)
        for place in np.flatnonzero(usable(bars)):
            row, candle = int(bars.rows[place]), int(candles[place])
            log_price = float(np.log(bars.price[place]))
            self.features.correct(row, int(bars.open_time_ms[place]), log_price)
            for logic in self.horizons.values():
                amended += logic.on_corrected(row, candle, log_price)
        return amended

    def on_watermark(self, rows: Ints, watermark_ms: int) -> dict[int, Ints]:
        """Give up what has been due for too long in markets that no candle comes from.

        Return the rows in which there was any, by horizon.
        """
        candle = (watermark_ms - ORIGIN_MS[self.interval]) // self.width_ms - 1
        return {
            horizon: logic.pending.expire(rows, candle) for horizon, logic in self.horizons.items()
        }

    @property
    def watermark_ms(self) -> int:
        """Return when the newest candle of any market closed; long ago before the first."""
        return self.close_ms(int(self.table.ints["last"].max()))

    # ------------------------------------------------------------------- facts

    def counts(self) -> dict[int, Counts]:
        """Return what became of predictions, by horizon."""
        return {horizon: logic.pending.counts() for horizon, logic in self.horizons.items()}

    def tables(self) -> dict[str, Table]:
        """Return every table of numbers, by name."""
        tables = {
            "markets": self.table,
            "features": self.features.table,
            "references": self.references.table,
        }
        for horizon, logic in self.horizons.items():
            tables |= {f"{horizon}.{name}": table for name, table in logic.tables().items()}
        return tables

    def loose(self) -> dict[str, Floats | Ints]:
        """Return every array that is not in a table, by name."""
        pool = self.features.pool
        arrays: dict[str, Floats | Ints] = {"pool.sums": pool.sums, "pool.opened": pool.opened_ms}
        for horizon, logic in self.horizons.items():
            arrays |= {f"{horizon}.{name}": array for name, array in logic.pooled.loose().items()}
        return arrays

    # ------------------------------------------------------------ open candles

    def _following(self, bars: Bars) -> Bars:
        """Return, market by market, what follows the last candle, if none is missing."""
        last = self.table.ints["last"]
        bars = bars.at(self._candles(bars.open_time_ms) > last[bars.rows])
        bars = bars.at(np.lexsort((bars.open_time_ms, bars.rows)))
        rows, candles = bars.rows, self._candles(bars.open_time_ms)
        is_first = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        before = np.where(is_first, last[rows], np.roll(candles, 1))
        follows = usable(bars) & ((candles == before + 1) | (before == _LONG_AGO))
        return repaired(bars.at(~np.isin(rows, rows[~follows])))

    def _seen(self, bars: Bars, is_newest: Flags) -> Seen:
        """Return what would be known of each market at its newest candle, after the others."""
        newest = bars.at(is_newest)
        if len(newest) == len(bars):
            return self.features.peek(newest, rows_until(len(self.markets), newest.rows))
        ends = np.flatnonzero(is_newest)
        places = np.searchsorted(ends, np.arange(len(bars)))
        ahead = ends[places] - np.arange(len(bars))
        features, bars = self.features.copy(newest.rows), replace(bars, rows=places)
        for steps in range(int(ahead.max()), 0, -1):
            features.step(bars.at(ahead == steps))
        return features.peek(bars.at(is_newest), slice(0, len(ends)))

    # ------------------------------------------------------------------- waves

    def _ticks(self, wave: Bars, seen: Seen) -> list[Tick]:
        if not _is_sorted(wave.rows):  # only the pool has to know who came first
            order = np.argsort(wave.rows)
            wave, seen = wave.at(order), seen.at(order)
        candles, ticks = self._candles(wave.open_time_ms), []
        for horizon, logic in self.horizons.items():
            settled, issued = logic.on_closed(wave.rows, candles, seen)
            ticks.append(Tick(horizon, wave, settled, issued))
        return ticks

    def _candles(self, open_time_ms: Ints) -> Ints:
        """Return the numbers of candles, one more for each width."""
        return (open_time_ms - ORIGIN_MS[self.interval]) // self.width_ms

    def _waves(self, bars: Bars) -> Iterator[Bars]:
        """Yield runs of candles of different markets, ending a round where a market comes again."""
        ints = self.table.ints
        while len(bars):
            fresh = usable(bars) & (self._candles(bars.open_time_ms) > ints["last"][bars.rows])
            stop = _first_repeat(bars.rows)
            wave, bars = bars.at(slice(0, stop)), bars.at(slice(stop, None))
            fresh = fresh[:stop]
            if not fresh.all():
                np.add.at(ints["refused"], wave.rows[~fresh], 1)
                wave = wave.at(fresh)
            yield from self._rounds(repaired(wave))

    def _rounds(self, wave: Bars) -> Iterator[Bars]:
        ints, candles = self.table.ints, self._candles(wave.open_time_ms)
        newest = int(ints["last"].max())
        while len(wave):
            heard, is_newer = ints["heard"][wave.rows] > 0, candles > newest
            if heard[0] or is_newer[0]:
                newest = max(newest, int(candles[0]))
                self._end_round(newest, is_new=bool(is_newer[0]))
                heard, is_newer = np.zeros_like(heard), candles > newest
            ends = heard | is_newer
            stop = int(np.argmax(ends)) if ends.any() else len(wave)
            part, wave = wave.at(slice(0, stop)), wave.at(slice(stop, None))
            ints["heard"][part.rows] = 1
            ints["last"][part.rows], candles = candles[:stop], candles[stop:]
            yield part

    def _end_round(self, newest: int, *, is_new: bool) -> None:
        """Let what all markets share move: one is heard again, or its candle ``is_new``."""
        self.table.ints["heard"][:] = 0
        for logic in self.horizons.values():
            if is_new:
                logic.pooled.begin(newest)
            else:
                logic.pooled.end_round()


def _first_repeat(rows: Ints) -> int:
    """Return how many of ``rows`` come before the first that came already.

    >>> _first_repeat(np.array([3, 1, 3])), _first_repeat(np.array([3, 1]))
    (2, 2)
    """
    if _is_sorted(rows):
        return len(rows)
    _, first = np.unique(rows, return_index=True)
    if len(first) == len(rows):
        return len(rows)
    is_first = np.zeros(len(rows), dtype=np.bool_)
    is_first[first] = True
    return int(np.argmin(is_first))


def _is_sorted(rows: Ints) -> bool:
    return bool((rows[1:] > rows[:-1]).all())
