"""What is known of a market when a candle closes: causal, in units of its own volatility."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from chaintide.agents.learning.bars import Bars
from chaintide.agents.learning.pool import Pool
from chaintide.agents.learning.rules import FEATURES
from chaintide.agents.learning.table import Column, Floats, Ints, Rows, Table, bounded, cells_of
from chaintide.streams.intervals import DAY_MS, ORIGIN_MS

SPANS: Final = (1, 3, 12, 48)
KEPT: Final = 64  # log prices of a market, more than the longest span and horizon need
LARGEST: Final = 4.0
LEAST_SIGMA: Final = 1e-7
_QUICK, _SIGMA, _SLOW, _RSI, _VOLUME = 1 / 5, 1 / 17, 1 / 60, 1 / 14, 1 / 30
_WEEK_MS: Final = 7 * DAY_MS
_SUNDAY_MS: Final = ORIGIN_MS["1w"] + 6 * DAY_MS
_LONG_AGO: Final = -(2**62)
_FLOATS: Final = {
    "logs": Column(shape=(KEPT,)),
    "quick": Column(),
    "variance": Column(),
    "slow": Column(),
    "ups": Column(),
    "downs": Column(),
    "volume_mean": Column(),
    "volume_variance": Column(1.0),
    "run": Column(),
    "last_return": Column(),
}
_INTS: Final = {
    "opened_ms": Column(_LONG_AGO, (KEPT,)),
    "candles": Column(),
    "volumes": Column(),
    "quiet": Column(),
    "pooled": Column(),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """Features ``[markets, features]``, and the price and volatility they were made at.

    ``label`` is the price that older predictions are judged by: the same one.
    """

    features: Floats
    log_price: Floats
    sigma: Floats
    quiet: Ints
    label: Floats

    def at(self, places: Ints) -> "Seen":
        """Return what is known at ``places``."""
        return Seen(
            features=cells_of(self.features, places),
            log_price=self.log_price[places],
            sigma=self.sigma[places],
            quiet=self.quiet[places],
            label=self.label[places],
        )


class FeatureLogic:
    """The features of all markets of an interval.

    All of a market's features but the last are the same numbers alone and beside others; the
    last is the mean of the newest returns of all others up to its candle, in the order in which
    they came. ``last_return`` is what a market has in the pool, once it is ``pooled``.
    """

    def __init__(self, width_ms: int) -> None:
        self.width_ms = width_ms
        self.table = Table(_FLOATS, _INTS)
        self.pool = Pool()

    def on_closed(self, bars: Bars, rows: Rows) -> Seen:
        """Take in candles that closed, each market once, and return what is known now."""
        seen, pool = self._keep(bars, rows)
        self.pool.take_over(pool)
        return seen

    def peek(self, bars: Bars, rows: Rows) -> Seen:
        """Return what would be known if these candles closed now; nothing changes."""
        return self._moved(bars, rows)[0]

    def copy(self, rows: Ints) -> "FeatureLogic":
        """Return the same of ``rows`` alone, to ``step`` over candles that may still change."""
        copied = FeatureLogic(self.width_ms)
        copied.table.restore({name: cells[rows] for name, cells in self.table.arrays().items()})
        copied.pool = self.pool
        return copied

    def step(self, bars: Bars) -> None:
        """Take in candles that closed without telling the pool."""
        floats, ints, rows = self.table.floats, self.table.ints, bars.rows
        told, is_told = floats["last_return"][rows], ints["pooled"][rows]
        self._keep(bars, rows)
        floats["last_return"][rows], ints["pooled"][rows] = told, is_told

    def correct(self, row: int, open_time_ms: int, log_price: float) -> None:
        """Replace the price of a candle that later returns are measured from."""
        is_it = self.table.ints["opened_ms"][row] == open_time_ms
        self.table.floats["logs"][row, is_it] = log_price

    def _keep(self, bars: Bars, rows: Rows) -> tuple[Seen, Pool]:
        seen, moved, counts, pool = self._moved(bars, rows)
        for name, column in moved.items():
            self.table.floats[name][rows] = column
        for name, count in counts.items():
            self.table.ints[name][rows] = count
        places = counts["candles"] % KEPT
        self.table.floats["logs"][bars.rows, places] = seen.log_price
        self.table.ints["opened_ms"][bars.rows, places] = bars.open_time_ms
        return seen, pool

    def _moved(
        self, bars: Bars, rows: Rows
    ) -> tuple[Seen, dict[str, Floats], dict[str, Ints], Pool]:
        floats, ints = self.table.floats, self.table.ints
        candles = ints["candles"][rows] + 1
        log_price = np.log(bars.price)
        back = _backward(floats["logs"], bars.rows, candles, log_price)
        one = back[0]
        moved = self._volatilities(rows, candles, one)
        variance = 0.5 * (moved["variance"] + moved["slow"])
        sigma = np.maximum(np.sqrt(variance), LEAST_SIGMA)
        columns = [
            _clipped(change / (sigma * np.sqrt(np.clip(candles - 1, 1, span))))
            for span, change in zip(SPANS, back, strict=True)
        ]
        last = columns[0]
        moved["ups"] = _toward(floats["ups"][rows], np.maximum(last, 0.0), _RSI)
        moved["downs"] = _toward(floats["downs"][rows], np.maximum(-last, 0.0), _RSI)
        both = moved["ups"] + moved["downs"]
        columns.append(2.0 * (moved["ups"] - moved["downs"]) / np.where(both > 0, both, 1.0))
        ratio = moved["quick"] / np.where(moved["slow"] > 0, moved["slow"], 1.0)
        columns.append(bounded(0.5 * np.log(bounded(ratio, 1e-3, 1e3)), -2.0, 2.0))
        columns.append(self._volume(bars, rows, moved))
        columns.append(_location(bars))
        sign, run = np.sign(one), floats["run"][rows]
        moved["run"] = np.where(sign * run > 0, run + sign, sign)
        columns.append(sign)
        columns.append(bounded(moved["run"] - sign, -6.0, 6.0) / 3.0)
        columns.append(2.0 * bars.bought - 1.0)
        columns += self._times(bars.open_time_ms)
        enters, newest = self.pool.entering(bars.open_time_ms)
        old, was_pooled = floats["last_return"][rows], ints["pooled"][rows]
        moved["last_return"] = np.where(enters, last, old)
        joins = np.stack((moved["last_return"] - old, enters & (was_pooled == 0)), axis=1)
        pool, running = self.pool.after(newest, joins)
        others = running[:-1]
        if not enters.all():
            others = np.where(enters[:, None], others, pool.at(bars.open_time_ms, newest))
        columns.append(_pooled(others - np.stack((old, was_pooled), axis=1)))
        counts = {
            "candles": candles,
            "volumes": ints["volumes"][rows] + (bars.volume > 0),
            "quiet": np.where(bars.quiet, ints["quiet"][rows] + 1, 0),
            "pooled": was_pooled | enters,
        }
        features = np.empty((len(bars), len(FEATURES)), order="F")
        for place, column in enumerate(columns):
            features[:, place] = column
        seen = Seen(features, log_price, sigma, counts["quiet"], log_price)
        return seen, moved, counts, pool

    def _volatilities(self, rows: Rows, candles: Ints, one: Floats) -> dict[str, Floats]:
        """Return decayed means of squared returns; one wild price does not drown the rest."""
        floats = self.table.floats
        old = floats["variance"][rows]
        square = one * one
        square = np.where(candles > 10, np.minimum(square, 64.0 * old + 1e-6), square)
        moved = {}
        for name, speed in (("quick", _QUICK), ("variance", _SIGMA), ("slow", _SLOW)):
            young = 1.0 / np.maximum(candles - 1, 1)
            moved[name] = _toward(floats[name][rows], square, np.maximum(young, speed))
        return moved

    def _volume(self, bars: Bars, rows: Rows, moved: dict[str, Floats]) -> Floats:
        floats, count = self.table.floats, self.table.ints["volumes"][rows]
        mean, variance = floats["volume_mean"][rows], floats["volume_variance"][rows]
        traded = bars.volume > 0
        log_volume = np.log(np.where(traded, bars.volume, 1.0))
        speed = np.maximum(1.0 / (count + 1.0), _VOLUME)
        away = log_volume - mean
        new_mean = mean + speed * away
        new_variance = _toward(variance, np.minimum(away * away, 25.0), np.minimum(speed, 0.2))
        moved["volume_mean"] = np.where(traded, new_mean, mean)
        moved["volume_variance"] = np.where(traded & (count > 0), new_variance, variance)
        z = away / np.sqrt(np.maximum(variance, 1e-4))
        return np.where(traded & (count > 10), _clipped(z), 0.0)

    def _times(self, open_time_ms: Ints) -> list[Floats]:
        """Return where in the day and the week a candle opened, 0 where that is always the same."""
        opened, place = open_time_ms[:1], np.zeros(len(open_time_ms), dtype=np.int64)
        if (open_time_ms != opened).any():
            opened, place = np.unique(open_time_ms, return_inverse=True)
        day = (opened % DAY_MS) * (2 * np.pi / DAY_MS)
        week = ((opened - _SUNDAY_MS) % _WEEK_MS) * (2 * np.pi / _WEEK_MS)
        is_daily, is_weekly = self.width_ms < DAY_MS, self.width_ms < _WEEK_MS
        waves = (is_daily * np.sin(day), is_daily * np.cos(day), is_weekly * np.cos(week))
        return [wave[place] for wave in waves]


def _backward(logs: Floats, rows: Ints, candles: Ints, log_price: Floats) -> list[Floats]:
    """Return the log returns over each span, or over as many candles as there are."""
    changes, flat, markets = [], logs.T.reshape(-1), len(logs)
    for span in SPANS:
        steps = np.minimum(span, candles - 1)
        before = flat.take((candles - steps) % KEPT * markets + rows)
        changes.append(np.where(steps > 0, bounded(log_price - before, -5.0, 5.0), 0.0))
    return changes


def _pooled(others: Floats) -> Floats:
    sums, counts = others.T
    return _clipped(3.0 * np.where(counts > 0, sums / np.maximum(counts, 1), 0.0))


def _toward(old: Floats, new: Floats, speed: Floats | float) -> Floats:
    return old + speed * (new - old)


def _clipped(column: Floats) -> Floats:
    return bounded(column, -LARGEST, LARGEST)


def _location(bars: Bars) -> Floats:
    room = bars.high - bars.low
    place = (bars.price - bars.low) / np.where(room > 0, room, 1.0)
    return np.where(room > 0, bounded(2.0 * place - 1.0, -1.0, 1.0), 0.0)
