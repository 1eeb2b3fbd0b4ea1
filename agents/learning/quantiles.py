"""Quantiles of returns in units of their volatility, tracked one label at a time."""

from typing import Final

import numpy as np

from chaintide.agents.learning.rules import QUANTILES, Rules
from chaintide.agents.learning.table import Column, Floats, Ints, Rows, Table, bounded, cells_of

NORMAL: Final = (-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645)
LARGEST: Final = 20.0
_SHARES: Final = np.array(QUANTILES)


class QuantileLogic:
    """Seven numbers a market, each stepped so that its share of labels falls below it."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.table = Table({"quantiles": Column(NORMAL, (len(QUANTILES),)), "labels": Column()})

    def of(self, rows: Rows) -> Floats:
        """Return the quantiles in order, in units of volatility."""
        return np.array(cells_of(self.table.floats["quantiles"], rows))

    def learn(self, rows: Rows, returns: Floats) -> None:
        """Move every quantile of ``rows`` a little towards or away from what came."""
        rules, labels = self.rules, self.table.floats["labels"][rows]
        quantiles = cells_of(self.table.floats["quantiles"], rows)
        step = np.maximum(rules.quantile_step, rules.first_quantile_step / (labels + 20.0))
        below = returns[:, None] < quantiles
        quantiles = quantiles + step[:, None] * (_SHARES - below)
        crossed = quantiles[:, 1:] < quantiles[:, :-1]
        if crossed.any():
            places = np.flatnonzero(crossed.any(axis=1))
            quantiles[places] = np.sort(quantiles[places], axis=1)
        self.table.floats["quantiles"][rows] = bounded(quantiles, -LARGEST, LARGEST)
        self.table.floats["labels"][rows] = labels + 1.0

    def widen(self, rows: Ints) -> None:
        """Move the quantiles of ``rows`` away from 0, because what was learned may not hold."""
        self.table.floats["quantiles"][rows] *= self.rules.widening
