"""Evidence that one forecast beats another, which may be looked at after every label.

A bettor puts part of its money on every label, at odds that are fair if the one forecast is no
better than the other. Money multiplied by 20 then happens in at most one of twenty cases,
however often one looks. Labels that overlap are not fair bets, so there are as many bettors as
the horizon has candles, each betting on every so-manieth label; their mean counts.
"""

from typing import Final

import numpy as np

from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.table import (
    Column,
    Floats,
    Ints,
    Rows,
    Table,
    bounded,
    cells_of,
    summed,
)

LEAST: Final = 1e-20
MOST: Final = 1e20
_FIRST: Final = 0.01  # to bet 1 at first, which is best where the probabilities are true


class Evidence:
    """Whether forecast ``better`` has a lower Brier score than ``other``, market by market."""

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.horizon = horizon
        self.table = Table(
            {
                "wealth": Column(1.0, (horizon,)),
                "gain": Column(),
                "square": Column(),
                "labels": Column(),
            }
        )

    def bets(self, better: Floats, other: Floats, rows: Rows) -> Floats:
        """Return how much to bet on the next label, decided before it is known."""
        floats, rules = self.table.floats, self.rules
        labels = np.minimum(floats["labels"][rows], rules.bet_span * self.horizon)
        gain = np.maximum(labels * floats["gain"][rows] + _FIRST, 0.0)
        wish = gain / (labels * floats["square"][rows] + _FIRST)
        most = rules.largest_bet / np.maximum(_largest(better, other), 1e-6)
        return np.minimum(wish, most)

    def learn(self, rows: Rows, candles: Ints, bets: Floats, gains: Floats) -> None:
        """Pay the bets on labels of ``candles``; ``gains`` are the differences of the scores."""
        floats = self.table.floats
        wealth = cells_of(floats["wealth"], rows)
        places = (np.arange(len(wealth)), candles % self.horizon)
        wealth[places] = bounded(wealth[places] * (1.0 + bets * gains), LEAST, MOST)
        if not isinstance(rows, slice):  # then it is a copy
            floats["wealth"][rows] = wealth
        labels = floats["labels"][rows] + 1.0
        pace = 1.0 / np.minimum(labels, self.rules.bet_span * self.horizon)
        gain, square = floats["gain"][rows], floats["square"][rows]
        floats["gain"][rows] = gain + pace * (gains - gain)
        floats["square"][rows] = square + pace * (gains * gains - square)
        floats["labels"][rows] = labels

    def value(self, rows: Rows) -> Floats:
        """Return the money of a bettor that began with 1."""
        return summed(cells_of(self.table.floats["wealth"], rows)) / self.horizon


def _largest(better: Floats, other: Floats) -> Floats:
    """Return the largest difference of the two Brier scores, whatever comes."""
    both = better + other
    return np.asarray(np.abs(better - other) * np.maximum(both, 2.0 - both))
