"""Closed candles as columns, as the learner takes them, and what is repaired in them."""

from dataclasses import dataclass

import numpy as np

from chaintide.agents.learning.table import Flags, Floats, Ints, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One candle a place; ``rows`` says whose.

    ``price`` is what returns and labels are made of: a mid price where there is one. ``bought``
    is the share of the volume that takers bought, NaN where nobody knows. ``quiet`` candles had
    no trade. ``mid`` says that the price is not merely that of the last trade.
    """

    rows: Ints
    open_time_ms: Ints
    price: Floats
    high: Floats
    low: Floats
    volume: Floats
    bought: Floats
    quiet: Flags
    mid: Flags

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, places: slice | Ints | Flags) -> "Bars":
        """Return the candles at ``places``."""
        return Bars(
            rows=self.rows[places],
            open_time_ms=self.open_time_ms[places],
            price=self.price[places],
            high=self.high[places],
            low=self.low[places],
            volume=self.volume[places],
            bought=self.bought[places],
            quiet=self.quiet[places],
            mid=self.mid[places],
        )


def usable(bars: Bars) -> Flags:
    """Return which candles have a price that can be used at all."""
    return np.isfinite(bars.price) & (bars.price > 0)


def repaired(bars: Bars) -> Bars:
    """Return ``bars``, whose prices are usable, with everything else made plausible.

    One number that is not finite would stay in every sum it enters.
    """
    price, has_range = bars.price, ~bars.quiet  # where nothing was traded the price stood still
    high = np.where(has_range & np.isfinite(bars.high), bars.high, price)
    low = np.where(has_range & np.isfinite(bars.low) & (bars.low > 0), bars.low, price)
    high, low = np.maximum(high, price), np.minimum(low, price)
    volume = np.where(np.isfinite(bars.volume) & (bars.volume > 0), bars.volume, 0.0)
    bought = np.where(np.isfinite(bars.bought), bounded(bars.bought, 0.0, 1.0), 0.5)
    return Bars(
        rows=bars.rows,
        open_time_ms=bars.open_time_ms,
        price=price,
        high=high,
        low=low,
        volume=volume,
        bought=bought,
        quiet=bars.quiet,
        mid=bars.mid,
    )
