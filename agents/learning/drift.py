"""Drift: the moment from which predictions are worse than they used to be.

Page-Hinkley, cheap and for all markets at once, suspects; river's ADWIN over the newest labels
of the suspect confirms. Either alone errs too often.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from river.drift import ADWIN

from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.table import Column, Floats, Ints, Rows, Table, rows_until

_FIRST_SPREAD: Final = 0.1  # of log-loss differences, worth so many labels
_FIRST_LABELS: Final = 10.0


class DriftLogic:
    """Watches how much worse than the base rate predictions are, in standard deviations.

    What these are is learned from the first labels, which are not judged.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.table = Table(
            {
                "loss_mean": Column(),
                "loss_spread": Column(_FIRST_LABELS * _FIRST_SPREAD**2),
                "mean": Column(),
                "sum": Column(),
                "least": Column(np.inf),
                "window": Column(shape=(rules.drift_window,)),
            },
            {"labels": Column(), "alarms": Column()},
        )

    def learn(self, rows: Ints, losses: Floats) -> Ints:
        """Take in log-loss differences, and return the rows in which there is a drift now."""
        ints, rules = self.table.ints, self.rules
        if not len(rows):
            return rows
        chosen = rows_until(self.table.rows, rows)
        labels = ints["labels"][chosen] + 1
        ints["labels"][chosen] = labels
        worse = self._standardised(chosen, losses, labels)
        ripe = labels > rules.drift_least
        if not ripe.all():
            rows, worse, labels = rows[ripe], worse[ripe], labels[ripe]
            chosen = rows
        labels = labels - rules.drift_least
        self.table.floats["window"][rows, (labels - 1) % rules.drift_window] = worse
        risen = self._risen(chosen, worse, labels)
        suspect = (risen > rules.drift_threshold) & ((labels + rows) % rules.drift_every == 0)
        if not suspect.any():
            return rows[:0]
        drifted = np.array([row for row in rows[suspect] if self._confirmed(int(row))], np.int64)
        ints["alarms"][drifted] += 1
        self._forget(drifted)
        return drifted

    def _standardised(self, rows: Rows, losses: Floats, labels: Ints) -> Floats:
        floats = self.table.floats
        away = losses - floats["loss_mean"][rows]
        mean = floats["loss_mean"][rows] + away / labels
        spread = floats["loss_spread"][rows] + away * (losses - mean)
        floats["loss_mean"][rows], floats["loss_spread"][rows] = mean, spread
        return np.asarray(losses / np.sqrt(spread / (labels + _FIRST_LABELS)))

    def _risen(self, rows: Rows, worse: Floats, labels: Ints) -> Floats:
        """Return how far the sum of what exceeds the mean is above its least (Page-Hinkley)."""
        floats = self.table.floats
        mean = floats["mean"][rows]
        mean = mean + (worse - mean) / labels
        total = floats["sum"][rows] + worse - mean - self.rules.drift_allowance
        least = np.minimum(floats["least"][rows], total)
        floats["mean"][rows], floats["sum"][rows], floats["least"][rows] = mean, total, least
        return np.asarray(total - least)

    def _confirmed(self, row: int) -> bool:
        """Return whether the newest labels of a market are worse than those before them."""
        adwin = ADWIN(delta=self.rules.drift_delta, clock=8)  # type: ignore[no-untyped-call]
        for worse in self._newest(row):
            before = adwin.estimation
            adwin.update(worse)  # type: ignore[no-untyped-call]
            if adwin.drift_detected and adwin.estimation > before:
                return True
        return False

    def _newest(self, row: int) -> Iterator[float]:
        size, least = self.rules.drift_window, self.rules.drift_least
        labels = int(self.table.ints["labels"][row]) - least
        window = self.table.floats["window"][row]
        for place in range(max(0, labels - size), labels):
            yield float(window[place % size])

    def _forget(self, rows: Ints) -> None:
        """Begin anew: what is normal is learned again."""
        alarms = self.table.ints["alarms"][rows]
        self.table.reset(rows)
        self.table.ints["alarms"][rows] = alarms
