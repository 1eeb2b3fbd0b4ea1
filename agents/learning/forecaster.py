"""One model: three own experts, the pooled one and the base rate, mixed and calibrated."""

from dataclasses import dataclass

from chaintide.agents.learning.experts import Lesson, OwnExperts, assembled, logit
from chaintide.agents.learning.mixture import Mixed, Mixture, Outcome
from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.table import Floats, Ints, Rows, Table


@dataclass(frozen=True, slots=True)
class Common:
    """What all models of an interval and horizon share: base rates and the pooled expert."""

    up: Floats
    flat: Floats
    pooled: Floats

    def at(self, places: Ints) -> "Common":
        """Return the same of some places."""
        return Common(self.up[places], self.flat[places], self.pooled[places])


class Forecaster:
    """What one model says of every market, and how it learns."""

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.own = OwnExperts(rules, horizon)
        self.mixture = Mixture(rules, horizon)

    def say(self, features: Floats, common: Common, rows: Rows) -> Mixed:
        """Return probabilities."""
        shifts = self.own.shifts(features, rows)
        least = self.rules.least_probability
        experts = assembled(shifts, common.pooled, logit(common.up), least)
        return self.mixture.mix(experts, common.flat, rows)

    def learn(self, lesson: Lesson, outcome: Outcome) -> None:
        """Learn from labels: experts as they are now, weights by what was said at issue."""
        self.own.learn(lesson)
        self.mixture.learn(outcome)

    def begin(self, rows: Ints, speed: float) -> None:
        """Let ``rows`` know nothing yet."""
        self.own.begin(rows, speed)
        self.mixture.table.reset(rows)

    def take_over(self, other: "Forecaster", rows: Ints) -> None:
        """Be the model ``other`` in ``rows``."""
        self.own.table.copy_rows(other.own.table, rows)
        self.mixture.table.copy_rows(other.mixture.table, rows)

    def tables(self) -> dict[str, Table]:
        """Return what has to be written down."""
        return {"own": self.own.table, "mixture": self.mixture.table}
