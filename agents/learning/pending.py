"""Predictions that wait for their labels, and for a while those that have them.

Of every prediction exactly one of these holds: it is pending, resolved, or void. Amended ones
are resolved ones whose label was corrected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from chaintide.agents.learning.rules import EXPERTS, FEATURES, QUANTILES, Rules
from chaintide.agents.learning.table import Column, Flags, Floats, Ints, Table, cells_of, run_of

PENDING: Final = 1
RESOLVED: Final = 2
VOID: Final = 3
_LONG_AGO: Final = -(2**62)
_FEATURES: Final = slice(0, len(FEATURES))
_EXPERTS: Final = slice(_FEATURES.stop, _FEATURES.stop + len(EXPERTS))
_QUANTILES: Final = slice(_EXPERTS.stop, _EXPERTS.stop + len(QUANTILES))
_SINGLE: Final = ("shift", "p_up", "p_base", "flat", "spread", "log_price", "bet", "outcome")
_PLACES: Final = {name: _QUANTILES.stop + place for place, name in enumerate(_SINGLE)}
_WIDTH: Final = _QUANTILES.stop + len(_SINGLE)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of predictions: ``issued`` is ``resolved`` + ``pending`` + ``void``."""

    issued: int
    resolved: int
    pending: int
    void: int
    amended: int


class Entries:
    """Everything that is kept of predictions, one a place, in one block of numbers."""

    def __init__(self, block: Floats) -> None:
        self.block = block

    @classmethod
    def of(
        cls, features: Floats, experts: Floats, quantiles: Floats, **single: Floats
    ) -> "Entries":
        """Return entries made of their parts."""
        block = np.zeros((len(features), _WIDTH), order="F")
        block[:, _FEATURES], block[:, _EXPERTS], block[:, _QUANTILES] = features, experts, quantiles
        for name, column in single.items():
            block[:, _PLACES[name]] = column
        return cls(block)

    def __len__(self) -> int:
        return len(self.block)

    @property
    def features(self) -> Floats:
        """Return the features at issue, half as wide: they only teach."""
        return self.block[:, _FEATURES].astype(np.float32)

    @property
    def experts(self) -> Floats:
        """Return what every expert said."""
        return self.block[:, _EXPERTS]

    @property
    def quantiles(self) -> Floats:
        """Return the quantiles of the return, in units of ``spread``."""
        return self.block[:, _QUANTILES]

    def single(self, name: str) -> Floats:
        """Return one number of each entry."""
        return self.block[:, _PLACES[name]]


@dataclass(frozen=True, slots=True)
class Due:
    """Predictions whose label may be known: ``places`` of the tick, rows, and where they are kept.

    ``candles`` are those at whose close they were made.
    """

    places: Ints
    rows: Ints
    slots: Ints
    candles: Ints

    def at(self, chosen: Flags | slice) -> "Due":
        """Return those that are ``chosen``."""
        columns = (self.places, self.rows, self.slots, self.candles)
        return Due(*(column[chosen] for column in columns))


class PendingLogic:
    """A ring of predictions for each market; a prediction is kept at its candle's number."""

    def __init__(self, rules: Rules, horizon: int) -> None:
        self.rules = rules
        self.horizon = horizon
        self.size = horizon + rules.tolerance_bars + rules.settled_bars + 2
        ring = (self.size,)
        self.table = Table(
            {"entries": Column(shape=(self.size, _WIDTH))},
            {
                "candle": Column(_LONG_AGO, ring),
                "label_candle": Column(_LONG_AGO, ring),
                "state": Column(shape=ring),
                "is_amended": Column(shape=ring),
                "last": Column(_LONG_AGO),
                "issued": Column(),
                "resolved": Column(),
                "void": Column(),
                "amended": Column(),
            },
        )

    def issue(self, rows: Ints, candles: Ints, entries: Entries) -> None:
        """Keep predictions made when ``candles`` closed."""
        slots, chosen, ints = run_of(self._slots(rows, candles)), run_of(rows), self.table.ints
        self._entries()[slots] = entries.block
        self._ring("candle")[slots] = candles
        self._ring("label_candle")[slots] = _LONG_AGO
        self._ring("state")[slots] = PENDING
        self._ring("is_amended")[slots] = 0
        ints["last"][chosen] = candles
        ints["issued"][chosen] += 1

    def due(self, rows: Ints, candles: Ints) -> Iterator[Due]:
        """Yield what is due when ``candles`` close, oldest first; what is too late becomes void."""
        ints = self.table.ints
        jumps = candles - ints["last"][rows]
        most = 1
        if (jumps > 1).any():
            self._void_before(rows, candles - self.rules.tolerance_bars)
            most = min(int(jumps.max()), self.rules.tolerance_bars + 1)
        for late in range(most - 1, -1, -1):
            issued = candles - late - self.horizon
            slots = self._slots(rows, issued)
            kept = run_of(slots)
            waits = self._ring("candle")[kept] == issued
            waits &= self._ring("state")[kept] == PENDING
            places = np.flatnonzero(waits)
            if len(places) == len(rows):  # as mostly
                yield Due(places, rows, slots, issued)
            elif len(places):
                yield Due(places, rows[places], slots[places], issued[places])

    def entries(self, due: Due) -> Entries:
        """Return what was kept of predictions."""
        return Entries(cells_of(self._entries(), run_of(due.slots)))

    def before(self, due: Due) -> tuple[Floats, Floats, Ints]:
        """Return up and base probabilities of one candle before those due, and of which."""
        slots = self._slots(due.rows, due.candles - 1)
        found = np.flatnonzero(self._ring("candle")[run_of(slots)] == due.candles - 1)
        kept, entries = run_of(slots[found]), self._entries()
        return entries[kept, _PLACES["p_up"]], entries[kept, _PLACES["p_base"]], found

    def resolve(self, due: Due, candles: Ints, outcomes: Floats) -> None:
        """Give predictions their labels, seen when ``candles`` closed."""
        slots = run_of(due.slots)
        self._ring("state")[slots] = RESOLVED
        self._ring("label_candle")[slots] = candles
        self._entries()[slots, _PLACES["outcome"]] = outcomes
        self.table.ints["resolved"][run_of(due.rows)] += 1

    def expire(self, rows: Ints, candle: int) -> Ints:
        """Make void what ``rows`` have pending for too long when ``candle`` has closed.

        Return those in which there was any.
        """
        least_due = np.full(len(rows), candle - self.rules.tolerance_bars)
        return rows[self._void_before(rows, least_due) > 0]

    def labelled_by(self, row: int, candle: int) -> Due:
        """Return the resolved predictions of a market that got their label from ``candle``."""
        ints = self.table.ints
        found = (ints["label_candle"][row] == candle) & (ints["state"][row] == RESOLVED)
        places = np.flatnonzero(found)
        rows = np.full(len(places), row)
        candles = ints["candle"][row, places]
        return Due(places, rows, self._slots(rows, candles), candles)

    def amend(self, due: Due, outcomes: Floats) -> None:
        """Replace labels; each prediction counts as amended once."""
        self._entries()[due.slots, _PLACES["outcome"]] = outcomes
        is_amended = self._ring("is_amended")
        np.add.at(self.table.ints["amended"], due.rows, 1 - is_amended[due.slots])
        is_amended[due.slots] = 1

    def counts(self) -> Counts:
        """Return how many predictions there were, and what became of them."""
        ints = {name: column[: self.table.rows] for name, column in self.table.ints.items()}
        return Counts(
            issued=int(ints["issued"].sum()),
            resolved=int(ints["resolved"].sum()),
            pending=int((ints["state"] == PENDING).sum()),
            void=int(ints["void"].sum()),
            amended=int(ints["amended"].sum()),
        )

    def _entries(self) -> Floats:
        return self.table.floats["entries"].T.reshape(_WIDTH, -1).T

    def _ring(self, name: str) -> Ints:
        return self.table.ints[name].T.reshape(-1)

    def _slots(self, rows: Ints, candles: Ints) -> Ints:
        # Those of one candle are side by side.
        return candles % self.size * self.table.capacity + rows

    def _void_before(self, rows: Ints, least_due: Ints) -> Ints:
        ints = self.table.ints
        states = ints["state"][rows]
        gone = (states == PENDING) & (ints["candle"][rows] + self.horizon < least_due[:, None])
        ints["state"][rows] = np.where(gone, VOID, states)
        void = gone.sum(axis=1)
        ints["void"][rows] += void
        return np.asarray(void)
