"""What markets of an interval tell each other, as it was when each of the newest candles closed."""

from typing import Final

import numpy as np

from chaintide.agents.learning.table import Flags, Floats, Ints, summed

KEPT: Final = 32  # candles: a market that is further behind is told nothing
_LONG_AGO: Final = -(2**62)


class Pool:
    """What every market's last return adds up to, after each of the newest candles.

    A market is told of returns up to its own candle only, however late it comes. One whose
    candle is older than the newest does not enter.
    """

    def __init__(self) -> None:
        self.opened_ms = np.full(KEPT, _LONG_AGO, dtype=np.int64)  # of the candles, oldest first
        self.sums = np.zeros((KEPT, 2))  # of returns, and of how many

    def entering(self, opened_ms: Ints) -> tuple[Flags, Ints]:
        """Return which of the candles that come one by one enter, and the newest at each."""
        newest = np.maximum(np.maximum.accumulate(opened_ms), self.opened_ms[-1])
        return opened_ms == newest, newest

    def after(self, newest: Ints, changes: Floats) -> tuple["Pool", Floats]:
        """Return what it is after ``changes`` that came one by one, and all sums on the way.

        Sums go one by one in order, so however candles are grouped they give the same bits.

        >>> pool, _ = Pool().after(np.array([5, 5, 6]), np.array([[2.0, 1], [1.0, 1], [0.5, 0]]))
        >>> pool.opened_ms[-2:].tolist(), pool.sums[-2:].tolist()
        ([5, 6], [[3.0, 2.0], [3.5, 2.0]])
        """
        running = np.cumsum(np.concatenate((self.sums[-1:], changes)), axis=0)
        ends = np.flatnonzero(newest[1:] != newest[:-1])
        ends = np.concatenate((ends, [len(newest) - 1]))
        kept = KEPT - int(newest[0] == self.opened_ms[-1])  # the newest candle goes on
        pool = Pool()
        pool.opened_ms = np.concatenate((self.opened_ms[:kept], newest[ends]))
        pool.sums = np.concatenate((self.sums[:kept], running[ends + 1]))
        return pool, running

    def at(self, opened_ms: Ints, newest: Ints) -> Floats:
        """Return the sums when candles closed that are older than the newest, zeros if forgotten.

        >>> pool, _ = Pool().after(np.array([5, 6]), np.array([[2.0, 1], [1.0, 1]]))
        >>> pool.at(np.array([5, 4]), np.array([6, 6])).tolist()
        [[2.0, 1.0], [0.0, 0.0]]
        """
        places = np.searchsorted(self.opened_ms, opened_ms, side="right") - 1
        first = np.searchsorted(self.opened_ms, newest, side="right") - KEPT
        is_kept = (places >= 0) & (places >= first)
        return np.where(is_kept[:, None], self.sums[places], 0.0)

    def take_over(self, other: "Pool") -> None:
        """Become what ``after`` returned, without the candles that are too old."""
        self.opened_ms[:] = other.opened_ms[-KEPT:]
        self.sums[:] = other.sums[-KEPT:]


class Versions:
    """The weights that markets share, as they were when each of the newest candles first came.

    They hold labels that were known before, and none that was known later.
    """

    def __init__(self, width: int) -> None:
        self.candles = np.full(KEPT, _LONG_AGO, dtype=np.int64)  # oldest first
        self.weights = np.zeros((KEPT, width))

    def add(self, candle: int, weights: Floats) -> None:
        """Keep the ``weights`` that a new ``candle`` begins with, and forget the oldest."""
        self.candles[:-1] = self.candles[1:]
        self.weights[:-1] = self.weights[1:]
        self.candles[-1], self.weights[-1] = candle, weights

    def products(self, features: Floats, candles: Ints, weights: Floats) -> Floats:
        """Return each market's features times the weights that its candle begins with.

        Those of candles that are newer than all are ``weights``; of forgotten ones zeros.

        >>> versions = Versions(1)
        >>> versions.add(5, np.array([2.0]))
        >>> versions.add(8, np.array([3.0]))
        >>> candles = np.array([5, 6, 8, 9])
        >>> versions.products(np.ones((4, 1)), candles, np.array([4.0])).tolist()
        [2.0, 3.0, 3.0, 4.0]
        """
        if (candles == self.candles[-1]).all():  # as mostly
            return summed(features * self.weights[-1])
        places = np.searchsorted(self.candles, candles)
        found = np.zeros(len(features))
        for place in set(places.tolist()) - {0}:
            told = weights if place == KEPT else self.weights[place]
            here = places == place
            found[here] = summed(features[here] * told)
        return found
