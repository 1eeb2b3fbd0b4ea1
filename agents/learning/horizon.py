"""One interval and horizon: predictions out, labels in, and how good all of it is."""

from dataclasses import dataclass

import numpy as np

from chaintide.agents.learning.contest import Contest, Ended
from chaintide.agents.learning.drift import DriftLogic
from chaintide.agents.learning.evidence import Evidence
from chaintide.agents.learning.experts import Lesson, PooledExpert, logit
from chaintide.agents.learning.features import Seen
from chaintide.agents.learning.forecaster import Common, Forecaster
from chaintide.agents.learning.mixture import BaseRates, Mixed, outcome_of
from chaintide.agents.learning.pending import Due, Entries, PendingLogic
from chaintide.agents.learning.quantiles import LARGEST, QuantileLogic
from chaintide.agents.learning.rules import BASE, Rules
from chaintide.agents.learning.scores import Graded, Scores
from chaintide.agents.learning.table import Flags, Floats, Ints, Rows, Table, bounded, rows_until

_INTERVALS = ((2, 4), (1, 5), (0, 6))  # of the quantiles: 50, 80 and 90 %


@dataclass(frozen=True, slots=True)
class Issued:
    """Predictions, one a place; ``quantiles`` are log returns."""

    rows: Ints
    candles: Ints
    p_up: Floats
    p_flat: Floats
    p_base: Floats
    confidence: Floats
    evidence: Floats
    labels: Ints
    quantiles: Floats
    log_price: Floats


@dataclass(frozen=True, slots=True)
class Settled:
    """Labels, one a place, with the scores of what was said ``horizon`` candles before.

    ``candles`` are those at whose close it was said, ``known`` those that brought the labels.
    """

    rows: Ints
    candles: Ints
    known: Ints
    flat: Flags
    graded: Graded
    drifted: Ints
    begun: Ints  # challengers
    ended: Ended


class HorizonLogic:
    """Learns and predicts what happens ``horizon`` candles ahead, for all markets."""

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.horizon = horizon
        self.rates = BaseRates(rules, horizon)
        self.pooled = PooledExpert(rules, horizon)
        self.champion = Forecaster(rules, horizon)
        self.contest = Contest(rules, horizon)
        self.quantiles = QuantileLogic(rules)
        self.pending = PendingLogic(rules, horizon)
        self.scores = Scores(horizon)
        self.evidence = Evidence(rules, horizon)
        self.drift = DriftLogic(rules)

    # ------------------------------------------------------------------ events

    def on_closed(self, rows: Ints, candles: Ints, seen: Seen) -> tuple[list[Settled], Issued]:
        """Learn from the labels that ``candles`` bring, then say what comes next."""
        everyone, settled = rows_until(self.scores.table.rows, rows), []
        for due in self.pending.due(rows, candles):
            chosen = everyone if len(due.rows) == len(rows) else due.rows
            settled.append(self._settle(due, chosen, candles, seen))
        return settled, self._issue(rows, everyone, candles, seen)

    def peek(self, rows: Ints, candles: Ints, seen: Seen) -> Issued:
        """Return what would be predicted from ``seen``; nothing changes."""
        chosen = rows_until(self.scores.table.rows, rows)
        common = self._common(seen.features, candles, chosen)
        said = self.champion.say(seen.features, common, chosen)
        return self._issued(rows, chosen, candles, seen, said)

    def on_corrected(self, row: int, candle: int, log_price: float) -> int:
        """Score again what ``candle`` had given a label, and return how many labels changed.

        Nothing is learned a second time.
        """
        due = self.pending.labelled_by(row, candle)
        entries = self.pending.entries(due)
        due = due.at(entries.single("outcome") != log_price - entries.single("log_price"))
        for place in range(len(due.rows)):  # all of one market: sums take them one by one
            self._score_again(due.at(slice(place, place + 1)), log_price)
        return len(due.rows)

    def tables(self) -> dict[str, Table]:
        """Return every table of numbers, by name."""
        champion = {f"champion.{name}": table for name, table in self.champion.tables().items()}
        return (
            champion
            | self.contest.tables()
            | {
                "rates": self.rates.table,
                "pooled": self.pooled.table,
                "quantiles": self.quantiles.table,
                "pending": self.pending.table,
                "scores": self.scores.table,
                "evidence": self.evidence.table,
                "drift": self.drift.table,
            }
        )

    # ---------------------------------------------------------------- learning

    def _settle(self, due: Due, chosen: Rows, candles: Ints, seen: Seen) -> Settled:
        entries = self.pending.entries(due)
        outcomes = seen.label[due.places] - entries.single("log_price")
        self.pending.resolve(due, candles[due.places], outcomes)
        flat, graded = outcomes == 0, _graded(entries, outcomes)
        experts = entries.experts
        lesson = Lesson(chosen, entries.features, logit(experts[:, BASE]), graded.rose, ~flat)
        outcome = outcome_of(chosen, experts, entries.single("shift"), graded.rose, flat)
        apart = due.candles % self.horizon == 0
        worse = self.champion.mixture.worse(outcome) if apart.any() else outcomes
        self.champion.learn(lesson, outcome)
        self.pooled.learn(lesson)
        self.rates.learn(outcome)
        returns = bounded(outcomes / entries.single("spread"), -LARGEST, LARGEST)
        self.quantiles.learn(chosen, returns)
        self.scores.add(chosen, graded, flat)
        self._score_gap(due, chosen, graded.rose)
        gains = graded.brier_base - graded.brier
        self.evidence.learn(chosen, due.candles, entries.single("bet"), gains)
        ended = self.contest.learn(due, lesson, outcome, graded, self.champion)
        drifted, begun = self._watch(due.rows[apart], worse[apart])
        known = candles[due.places]
        return Settled(due.rows, due.candles, known, flat, graded, drifted, begun, ended)

    def _score_gap(self, due: Due, chosen: Rows, rose: Floats, sign: int = 1) -> None:
        """Score the predictions of one candle earlier by the same labels."""
        p_up, p_base, found = self.pending.before(due)
        if len(found) < len(rose):
            chosen, rose = due.rows[found], rose[found]
        self.scores.add_gap(chosen, rose, p_up, p_base, sign)

    def _score_again(self, due: Due, log_price: float) -> None:
        entries = self.pending.entries(due)
        new = log_price - entries.single("log_price")
        for outcome, sign in ((entries.single("outcome"), -1), (new, 1)):
            graded = _graded(entries, outcome)
            self.scores.add(due.rows, graded, outcome == 0, sign)
            self._score_gap(due, due.rows, graded.rose, sign)
        self.pending.amend(due, new)

    def _watch(self, rows: Ints, worse: Floats) -> tuple[Ints, Ints]:
        """Return the rows that drift, and those of them in which a challenger begins.

        Labels that overlap others have been left out.
        """
        drifted = self.drift.learn(rows, worse)
        if not len(drifted):
            return drifted, drifted
        self.champion.own.renew(drifted)
        self.quantiles.widen(drifted)
        return drifted, self.contest.begin(drifted)

    # -------------------------------------------------------------- predicting

    def _issue(self, rows: Ints, chosen: Rows, candles: Ints, seen: Seen) -> Issued:
        common = self._common(seen.features, candles, chosen)
        said = self.champion.say(seen.features, common, chosen)
        issued = self._issued(rows, chosen, candles, seen, said)
        spread = seen.sigma * np.sqrt(float(self.horizon))
        entries = Entries.of(
            seen.features,
            said.experts,
            self.quantiles.of(chosen),
            shift=said.shift,
            p_up=issued.p_up,
            p_base=issued.p_base,
            flat=said.flat,
            spread=spread,
            log_price=seen.log_price,
            bet=self.evidence.bets(issued.p_up, issued.p_base, chosen),
        )
        self.pending.issue(rows, candles, entries)
        self.contest.issue(rows, candles, seen.features, common, said)
        return issued

    def _common(self, features: Floats, candles: Ints, chosen: Rows) -> Common:
        pooled = self.pooled.shifts(features, candles)
        return Common(self.rates.up(chosen), self.rates.flat(chosen), pooled)

    def _issued(self, rows: Ints, chosen: Rows, candles: Ints, seen: Seen, said: Mixed) -> Issued:
        labels = self.scores.labels(chosen)
        learned = np.minimum(1.0, labels / self.rules.full_confidence)
        fresh = 1.0 / (1.0 + seen.quiet)
        spread = seen.sigma * np.sqrt(float(self.horizon))
        return Issued(
            rows=rows,
            candles=candles,
            p_up=said.p_up,
            p_flat=said.flat,
            p_base=said.p_base,
            confidence=(1.0 - self.champion.mixture.base_weight(chosen)) * learned * fresh,
            evidence=self.evidence.value(chosen),
            labels=labels.astype(np.int64),
            quantiles=self.quantiles.of(chosen) * spread[:, None],
            log_price=seen.log_price,
        )


def _graded(entries: Entries, outcomes: Floats) -> Graded:
    returns = outcomes / entries.single("spread")
    quantiles = entries.quantiles
    covered = np.empty((len(entries), len(_INTERVALS)), dtype=np.bool_, order="F")
    for place, (low, high) in enumerate(_INTERVALS):
        covered[:, place] = (quantiles[:, low] <= returns) & (returns <= quantiles[:, high])
    rose = (outcomes > 0).astype(np.float64)
    return Graded(rose, entries.single("p_up"), entries.single("p_base"), covered)
