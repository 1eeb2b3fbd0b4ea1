"""Challengers: models that predict beside the champion until they prove better, or do not."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from chaintide.agents.learning.evidence import Evidence
from chaintide.agents.learning.experts import Lesson
from chaintide.agents.learning.forecaster import Common, Forecaster
from chaintide.agents.learning.mixture import Mixed, Outcome, outcome_of
from chaintide.agents.learning.pending import Due
from chaintide.agents.learning.rules import EXPERTS, Rules
from chaintide.agents.learning.scores import Graded
from chaintide.agents.learning.table import Column, Floats, Ints, Table

_EXPERTS: Final = slice(0, len(EXPERTS))
_SHIFT, _P_UP, _BET = range(len(EXPERTS), len(EXPERTS) + 3)
_LONG_AGO: Final = -(2**62)


@dataclass(frozen=True, slots=True)
class Ended:
    """The rows whose challenger took over, and those whose challenger was given up."""

    promoted: Ints
    given_up: Ints


class Contest:
    """One challenger for each market that wants one, after a drift.

    It begins with nothing learned and steps faster. It takes the champion's place once a bettor
    on it has made ``claim`` out of 1 and its probabilities are true on average; if that has not
    happened after ``challenger_labels`` it is given up.
    """

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.size = horizon + rules.tolerance_bars + 2
        self.model = Forecaster(rules, horizon)
        self.evidence = Evidence(rules, horizon)
        self.table = Table(
            {
                "said": Column(shape=(self.size, len(EXPERTS) + 3)),
                "surplus": Column(),
                "variance": Column(),
            },
            {
                "active": Column(),
                "labels": Column(),
                "candle": Column(_LONG_AGO, (self.size,)),
                "begun": Column(),
                "promoted": Column(),
                "given_up": Column(),
            },
        )

    def begin(self, rows: Ints) -> Ints:
        """Start a challenger in those of ``rows`` that have none, and return these."""
        ints = self.table.ints
        rows = rows[ints["active"][rows] == 0]
        self.model.begin(rows, self.rules.challenger_speed)
        self.evidence.table.reset(rows)
        for name in ("surplus", "variance"):
            self.table.floats[name][rows] = 0.0
        ints["labels"][rows] = 0
        ints["candle"][rows] = _LONG_AGO
        ints["active"][rows] = 1
        ints["begun"][rows] += 1
        return rows

    def issue(
        self, rows: Ints, candles: Ints, features: Floats, common: Common, champion: Mixed
    ) -> None:
        """Let challengers predict what the champion just has."""
        places = np.flatnonzero(self.table.ints["active"][rows])
        if not len(places):
            return
        rows, candles = rows[places], candles[places]
        said = self.model.say(features[places], common.at(places), rows)
        block = np.empty((len(rows), len(EXPERTS) + 3), order="F")
        block[:, _EXPERTS] = said.experts
        block[:, _SHIFT] = said.shift
        block[:, _P_UP] = said.p_up
        block[:, _BET] = self.evidence.bets(said.p_up, champion.p_up[places], rows)
        slots = candles % self.size
        self.table.floats["said"][rows, slots] = block
        self.table.ints["candle"][rows, slots] = candles

    def learn(
        self, due: Due, lesson: Lesson, outcome: Outcome, graded: Graded, champion: Forecaster
    ) -> Ended:
        """Learn from labels, and return the rows whose challenger is one no more."""
        ints = self.table.ints
        if not ints["active"].any():
            return Ended(due.rows[:0], due.rows[:0])
        slots = due.candles % self.size
        known = ints["active"][due.rows] & (ints["candle"][due.rows, slots] == due.candles)
        places = np.flatnonzero(known)
        if not len(places):
            return Ended(due.rows[:0], due.rows[:0])
        rows, said = due.rows[places], self.table.floats["said"][due.rows, slots][places]
        rose = graded.rose[places]
        self.model.learn(
            Lesson(rows, lesson.features[places], lesson.base[places], rose, lesson.learns[places]),
            outcome_of(
                rows,
                said[:, _EXPERTS],
                said[:, _SHIFT],
                rose,
                outcome.flat[places],
            ),
        )
        p_up = said[:, _P_UP]
        gains = graded.brier[places] - (p_up - rose) ** 2
        self.evidence.learn(rows, due.candles[places], said[:, _BET], gains)
        self.table.floats["surplus"][rows] += p_up - rose
        self.table.floats["variance"][rows] += p_up * (1.0 - p_up)
        ints["labels"][rows] += 1
        return self._judge(rows, champion)

    def tables(self) -> dict[str, Table]:
        """Return what has to be written down."""
        models = {f"challenger.{name}": table for name, table in self.model.tables().items()}
        return models | {"contest": self.table, "contest.evidence": self.evidence.table}

    def _judge(self, rows: Ints, champion: Forecaster) -> Ended:
        ints, floats = self.table.ints, self.table.floats
        is_true = np.abs(floats["surplus"][rows]) <= 3.0 * np.sqrt(floats["variance"][rows])
        has_won = (self.evidence.value(rows) >= self.rules.claim) & is_true
        promoted = rows[has_won]
        if len(promoted):
            champion.take_over(self.model, promoted)
        is_over = ~has_won & (ints["labels"][rows] >= self.rules.challenger_labels)
        ints["promoted"][promoted] += 1
        ints["given_up"][rows[is_over]] += 1
        ints["active"][rows[has_won | is_over]] = 0
        return Ended(promoted, rows[is_over])
