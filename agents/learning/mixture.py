"""How experts become one calibrated probability of up, flat and down."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from chaintide.agents.learning.experts import logistic, logit
from chaintide.agents.learning.rules import BASE, EXPERTS, Rules
from chaintide.agents.learning.table import (
    Column,
    Flags,
    Floats,
    Rows,
    Table,
    bounded,
    cells_of,
    summed,
)

MOST_FLAT: Final = 0.98
LEAST_FLAT: Final = 1e-6
LARGEST_SHIFT: Final = 4.0


@dataclass(frozen=True, slots=True)
class Mixed:
    """What was said: ``up`` and ``experts`` are of prices that move, ``flat`` how many do not.

    ``shift`` is how far the mixture is from the base rate, in log odds.
    """

    experts: Floats
    shift: Floats
    up: Floats
    flat: Floats

    @property
    def p_up(self) -> Floats:
        """Return how likely the price is higher."""
        return (1.0 - self.flat) * self.up

    @property
    def p_base(self) -> Floats:
        """Return how likely that is by the base rate alone."""
        return np.asarray((1.0 - self.flat) * self.experts[:, BASE])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of predictions for ``rows``; experts and shift are those stored at issue.

    ``likely`` is how likely each expert found what happened.
    """

    rows: Rows
    experts: Floats
    shift: Floats
    rose: Floats
    flat: Flags
    likely: Floats


def outcome_of(rows: Rows, experts: Floats, shift: Floats, rose: Floats, flat: Flags) -> Outcome:
    """Return the outcome of what experts said."""
    likely = np.abs(experts - (rose < 0.5)[:, None])
    return Outcome(rows, experts, shift, rose, flat, likely)


class BaseRates:
    """How often prices rise and how often they stay; old labels are slowly forgotten."""

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.span = rules.base_span * horizon
        self.prior = rules.base_prior * horizon
        self.table = Table(
            {
                "up": Column(0.5),
                "flat": Column(rules.flat_prior),
                "moves": Column(),
                "labels": Column(),
            }
        )

    def up(self, rows: Rows) -> Floats:
        """Return how likely a price that moves rises."""
        least = self.rules.least_probability
        return bounded(self.table.floats["up"][rows], least, 1.0 - least)

    def flat(self, rows: Rows) -> Floats:
        """Return how likely a price stays what it is."""
        return bounded(self.table.floats["flat"][rows], LEAST_FLAT, MOST_FLAT)

    def learn(self, outcome: Outcome) -> None:
        """Count labels."""
        floats, rows = self.table.floats, outcome.rows
        moved = ~outcome.flat
        up, flat = floats["up"][rows], floats["flat"][rows]
        moves, labels = floats["moves"][rows] + moved, floats["labels"][rows] + 1.0
        pace = moved / np.minimum(moves + self.prior, self.span)
        floats["up"][rows] = up + pace * (outcome.rose - up)
        floats["flat"][rows] = flat + (outcome.flat - flat) / np.minimum(labels + 1.0, self.span)
        floats["moves"][rows], floats["labels"][rows] = moves, labels


class Mixture:
    """Experts weighed by how likely they found what happened, then calibrated.

    Weights follow Bayes; a small share of them always flows back, so an expert that was wrong
    for long can return. The base rate is one of the experts: nothing is lost to it for long.
    """

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.horizon = horizon
        self.prior = np.array(rules.mixture_prior)
        self.table = Table(
            {
                "weights": Column(rules.mixture_prior, (len(EXPERTS),)),
                "trust": Column(rules.mixture_prior, (len(EXPERTS),)),
                "slope": Column(1.0),
                "offset": Column(),
                "shifts": Column(),
            }
        )

    def mix(self, experts: Floats, flat: Floats, rows: Rows) -> Mixed:
        """Return one probability out of those of the experts; ``flat`` is how many stay."""
        floats, least = self.table.floats, self.rules.least_probability
        base = logit(experts[:, BASE])
        mixed = summed(cells_of(floats["weights"], rows) * experts)
        shift = bounded(logit(mixed) - base, -LARGEST_SHIFT, LARGEST_SHIFT)
        calibrated = base + floats["slope"][rows] * shift + floats["offset"][rows]
        up = bounded(logistic(calibrated), least, 1.0 - least)
        return Mixed(experts, shift, up, flat)

    def base_weight(self, rows: Rows) -> Floats:
        """Return how much of the mixture is the base rate."""
        return np.array(self.table.floats["weights"][rows, BASE])

    def worse(self, outcome: Outcome) -> Floats:
        """Return how much worse than the base rate those did that had been trusted for long.

        The mixture turns away from experts that fail within a few dozen labels, and so hides
        that they do.
        """
        gains = np.log(outcome.likely)
        gains -= gains[:, BASE, None]
        trust = cells_of(self.table.floats["trust"], outcome.rows)
        return np.where(outcome.flat, 0.0, -summed(trust * gains))

    def learn(self, outcome: Outcome) -> None:
        """Weigh and calibrate by labels."""
        self._weigh(outcome)
        self._calibrate(outcome)

    def _weigh(self, outcome: Outcome) -> None:
        rows, share = outcome.rows, self.rules.share
        weights = cells_of(self.table.floats["weights"], rows)
        likely = outcome.likely
        if self.horizon > 1:
            likely = likely ** (1.0 / self.horizon)
        weighed = weights * likely
        weighed *= ((1.0 - share) / summed(weighed))[:, None]
        weighed += share * self.prior
        trust = cells_of(self.table.floats["trust"], rows)
        moved = weighed - trust
        moved /= self.rules.trust_span * self.horizon
        trust += moved
        if not isinstance(rows, slice):  # then it is a copy
            self.table.floats["trust"][rows] = trust
        if outcome.flat.any():
            weighed[outcome.flat] = weights[outcome.flat]
        self.table.floats["weights"][rows] = weighed

    def _calibrate(self, outcome: Outcome) -> None:
        """Step slope and offset of the log odds (Platt) towards what would have been right."""
        floats, rows, rules = self.table.floats, outcome.rows, self.rules
        shift, slope, offset = outcome.shift, floats["slope"][rows], floats["offset"][rows]
        moved = ~outcome.flat
        spread = floats["shifts"][rows]
        spread = spread + 0.01 * moved * (shift * shift - spread)
        said = logistic(logit(outcome.experts[:, BASE]) + slope * shift + offset)
        error = (said - outcome.rose) * (moved * (rules.platt_step / self.horizon))
        new_slope = slope - error * shift / (spread + rules.platt_room)
        floats["slope"][rows] = bounded(new_slope, 0.0, 1.5)
        floats["offset"][rows] = bounded(offset - 0.1 * error - 1e-3 * moved * offset, -0.2, 0.2)
        floats["shifts"][rows] = spread
