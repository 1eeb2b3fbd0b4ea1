"""The windows of one market: the few that change, and the many that only wait to be final.

Windows in use are ``hot``: objects, written together in one record of the changelog. A closed
window that nothing has touched since the last write is frozen: it gets a record of its own and
stays in memory as bytes. A late trade thaws it again.
"""

from collections.abc import Iterator

import msgspec

from chaintide.agents.book import LEVELS, opening
from chaintide.agents.windows import WIDTHS_US, Window

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Window).decode


class Shelf:
    """Windows by (level, open time); where both exist, hot wins over frozen."""

    def __init__(self) -> None:
        self.hot: list[dict[int, Window]] = [{} for _ in WIDTHS_US]
        self.frozen: list[dict[int, bytes]] = [{} for _ in WIDTHS_US]
        self._changed: set[int] = set()
        self._dropped: set[tuple[int, int]] = set()
        self._minute_us = -1
        self._minute: list[Window] = []

    def emptied(self) -> "Shelf":
        """Return a shelf without windows, which knows that those of this one are forgotten."""
        empty = Shelf()
        empty._dropped = self._dropped | {
            (level, open_us) for level in LEVELS for open_us in self._opens(level)
        }
        return empty

    def minute(self, open_us: int) -> list[Window]:
        """Return the window of a minute at every level, kept hot beyond the next write."""
        if open_us != self._minute_us:
            self._minute = [self.get(level, opening(open_us, level)) for level in LEVELS]
            self._minute_us = open_us
            self._changed.update(map(id, self._minute))
        return self._minute

    def get(self, level: int, open_us: int) -> Window:
        """Return a window, thawed if it was frozen, new if there was none."""
        window = self.hot[level].get(open_us)
        if window is None:
            cold = self.frozen[level].pop(open_us, None)
            window = Window(open_us) if cold is None else _decode(cold)
            self.hot[level][open_us] = window
        return window

    def has(self, level: int, open_us: int) -> bool:
        """Return whether there is such a window."""
        return open_us in self.hot[level] or open_us in self.frozen[level]

    def between(self, level: int, from_us: int, to_us: int) -> list[int]:
        """Return the open times in ``[from_us, to_us)``, sorted."""
        width_us = WIDTHS_US[level]
        known = len(self.hot[level]) + len(self.frozen[level])
        if (to_us - from_us) // width_us <= known:
            return [t for t in range(from_us, to_us, width_us) if self.has(level, t)]
        return sorted(t for t in self._opens(level) if from_us <= t < to_us)

    def previous(self, level: int, open_us: int) -> int | None:
        """Return the open time of the last window before ``open_us``, however long before."""
        before_us = open_us - WIDTHS_US[level]
        if self.has(level, before_us):
            return before_us
        return max((t for t in self._opens(level) if t < open_us), default=None)

    def next(self, level: int, open_us: int, until_us: int) -> int | None:
        """Return the open time of the first window in ``[open_us, until_us)``."""
        if open_us >= until_us or self.has(level, open_us):
            return open_us if open_us < until_us else None
        return min((t for t in self._opens(level) if open_us <= t < until_us), default=None)

    def changed(self, window: Window) -> None:
        """Keep ``window`` hot beyond the next write."""
        self._changed.add(id(window))

    def drop(self, level: int, open_us: int) -> None:
        """Forget a window."""
        self._minute_us = -1
        self.hot[level].pop(open_us, None)
        self.frozen[level].pop(open_us, None)
        self._dropped.add((level, open_us))

    def freeze(self, closed_us: list[int]) -> Iterator[tuple[int, int, bytes]]:
        """Freeze closed windows that did not change since the last call; yield each."""
        for level, windows in enumerate(self.hot):
            end_us = closed_us[level] if closed_us else 0
            still = [t for t, w in windows.items() if t < end_us and id(w) not in self._changed]
            for open_us in still:
                cold = self.frozen[level][open_us] = _encode(windows.pop(open_us))
                yield level, open_us, cold
        self._changed = set()
        self._minute_us = -1

    def _opens(self, level: int) -> set[int]:
        return self.hot[level].keys() | self.frozen[level].keys()

    def dropped(self) -> set[tuple[int, int]]:
        """Return what was forgotten since the last call."""
        gone, self._dropped = self._dropped, set()
        return gone
