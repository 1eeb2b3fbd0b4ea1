"""Pending trades of one market, and what its windows show with them."""

from typing import Final

from chaintide.agents.bars import Bar
from chaintide.agents.book import LEVELS, Book, Pending, opening
from chaintide.agents.windows import Window

MAX_SHOWN: Final = 4_096
_Place = tuple[int, int]


class Waiting:
    """The pending trades of ``book``, folded once with the settled ones of each window.

    Settling changes no sum, so only what is undone has to be folded anew. At 4,096 windows all
    sums are forgotten.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._shown: dict[_Place, Bar | None] = {}

    def shown(self, level: int, window: Window) -> Bar | None:
        """Return settled and pending trades of ``window`` in one bar, not to be changed."""
        if not self._book.pending:
            return window.bar
        place = (level, window.open_us)
        if place not in self._shown:
            if len(self._shown) >= MAX_SHOWN:
                self._shown.clear()
            self._shown[place] = self._fold(level, window)
        return self._shown[place]

    def forget(self, level: int, open_us: int) -> None:
        """Take it that the settled trades of a window have changed."""
        self._shown.pop((level, open_us), None)

    def add(self, trade: Pending) -> None:
        """Let ``trade`` wait."""
        if not self._book.pending:
            self._shown.clear()
        self._book.pending.append(trade)
        for place in _places(trade):
            if (known := self._shown.get(place)) is not None:
                known.absorb(trade.bar)
            else:
                self._shown.pop(place, None)

    def take_above(self, position: int) -> list[Pending]:
        """Take out and return what is above ``position``."""
        gone = [trade for trade in self._book.pending if trade.position > position]
        self._book.pending = [t for t in self._book.pending if t.position <= position]
        for trade in gone:
            for place in _places(trade):
                self._shown.pop(place, None)
        return gone

    def take_until(self, position: int) -> list[Pending]:
        """Take out and return what is at or below ``position``, which is to be settled now."""
        gone = [trade for trade in self._book.pending if trade.position <= position]
        self._book.pending = [t for t in self._book.pending if t.position > position]
        return gone

    def _fold(self, level: int, window: Window) -> Bar | None:
        whole = None if window.bar is None else window.bar.copy()
        for trade in self._book.pending:
            if opening(trade.bar.open_time_us, level) == window.open_us:
                if whole is None:
                    whole = trade.bar.copy()
                else:
                    whole.absorb(trade.bar)
        return whole


def _places(trade: Pending) -> list[_Place]:
    return [(level, opening(trade.bar.open_time_us, level)) for level in LEVELS]
