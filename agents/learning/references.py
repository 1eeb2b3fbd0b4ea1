"""The price that labels are made of: better than the last trade where that can be known.

Trades jump between bid and ask, so the last price seems to turn back by itself. The mean price
of the last minute with trades does not; in candles that are not much longer than a minute,
though, means hang together by themselves, so there it is the last price.
"""

from typing import Final

import numpy as np

from chaintide.agents.learning.table import Column, Table
from chaintide.streams.intervals import MINUTE_MS

LEAST_MINUTES: Final = 15
KEPT: Final = 64  # minutes: candles that closed longer ago are not corrected
_LONG_AGO: Final = -(2**62)


def has_reference(width_ms: int) -> bool:
    """Return whether labels of candles of this width are made of the mean of a minute.

    >>> has_reference(5 * MINUTE_MS), has_reference(15 * MINUTE_MS)
    (False, True)
    """
    return width_ms >= LEAST_MINUTES * MINUTE_MS


class References:
    """The mean prices of the last minutes with trades, of each market."""

    def __init__(self, width_ms: int) -> None:
        self.width_ms = width_ms
        ring = (KEPT,)
        self.table = Table({"price": Column(shape=ring)}, {"close_ms": Column(_LONG_AGO, ring)})

    def on_minute(self, row: int, vwap: float, close_ms: int) -> None:
        """Take in the volume-weighted price of a minute with trades, or a better one of it."""
        place = close_ms // MINUTE_MS % KEPT
        if vwap > 0 and close_ms >= self.table.ints["close_ms"][row, place]:
            self.table.floats["price"][row, place] = vwap
            self.table.ints["close_ms"][row, place] = close_ms

    def mid(self, row: int, close_ms: int, *, quiet: bool = False) -> float | None:
        """Return the price at ``close_ms``, or ``None`` where only the last trade's is known.

        A ``quiet`` candle, one without a trade, keeps the price of the last minute with trades.

        >>> references = References(60 * MINUTE_MS)
        >>> references.table.grow(1)
        >>> references.on_minute(0, 5.0, 58 * MINUTE_MS)
        >>> references.mid(0, 60 * MINUTE_MS), references.mid(0, 120 * MINUTE_MS)
        (5.0, None)
        >>> references.mid(0, 120 * MINUTE_MS, quiet=True)
        5.0
        """
        if not has_reference(self.width_ms):
            return None
        place, seen_ms = self._newest(row, close_ms)
        is_known = seen_ms > (_LONG_AGO if quiet else close_ms - self.width_ms)
        return float(self.table.floats["price"][row, place]) if is_known else None

    def is_kept(self, row: int, close_ms: int, *, quiet: bool = False) -> bool:
        """Return whether all is still there that ``mid`` needs to know."""
        newest_ms = int(self.table.ints["close_ms"][row].max())
        if quiet:  # of the minutes after that one, none may have taken the place of another
            close_ms = self._newest(row, close_ms)[1]
        return newest_ms - close_ms < KEPT * MINUTE_MS

    def _newest(self, row: int, close_ms: int) -> tuple[int, int]:
        """Return the place of the last minute until ``close_ms``, and when it closed."""
        seen_ms = self.table.ints["close_ms"][row]
        inside = np.where(seen_ms <= close_ms, seen_ms, _LONG_AGO)
        place = int(inside.argmax())
        return place, int(inside[place])
