"""The newest candles of one market at one interval, and how they go over what a store says."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from chaintide.streams.records import Candle

MAX_RECENT: Final = 64
MAX_LOADED: Final = 1_000


class Series:
    """Candles first-hand from their topic: the 64 open times that changed last, and a window.

    The window is what ``load`` brought from a store, up to its newest 1,000 candles, kept up to
    date from then on. So it, unlike the recent ones, has no holes.
    """

    def __init__(self) -> None:
        self._recent: OrderedDict[int, Candle] = OrderedDict()
        self._window: dict[int, Candle] = {}
        self._from_ms: int | None = None
        self._is_whole = False

    def __len__(self) -> int:
        return len(self._recent) + len(self._window)

    @property
    def is_loaded(self) -> bool:
        """Whether there is a window."""
        return self._from_ms is not None

    def put(self, candle: Candle) -> bool:
        """Take the newest form of a candle and return whether it says anything new."""
        open_ms = candle.open_time_ms
        if self._recent.get(open_ms) == candle:
            return False
        self._recent[open_ms] = candle
        self._recent.move_to_end(open_ms)
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        if self._from_ms is not None and (self._is_whole or open_ms >= self._from_ms):
            self._window[open_ms] = candle
            self._trim()
        return True

    def load(self, stored: Sequence[Candle], *, is_whole: bool) -> None:
        """Take the newest candles of a store, sorted, as the window; ``is_whole``: all it has.

        Where the store is so far behind that candles are missing, the window begins after them.
        """
        kept = self._merged(stored, None, None)
        holes = _holes(kept, stored[-1].open_time_ms if stored else None)
        if holes:
            kept = kept[holes[-1] :]
        elif stored and not is_whole:
            kept = [candle for candle in kept if candle.open_time_ms >= stored[0].open_time_ms]
        may_miss = not stored and len(self._recent) >= MAX_RECENT
        self._window = {candle.open_time_ms: candle for candle in kept}
        self._from_ms = kept[0].open_time_ms if kept else 0
        self._is_whole = is_whole and not holes and not may_miss
        self._trim()

    def forget(self) -> None:
        """Forget every candle."""
        self._recent.clear()
        self._window, self._from_ms, self._is_whole = {}, None, False

    def newest(self, count: int) -> tuple[list[Candle], bool]:
        """Return the newest ``count`` candles at hand, and whether a store may have older ones.

        Without a window that is whatever of the recent candles follows on without a hole.
        """
        if self._from_ms is None:
            found = _without_holes(sorted(self._recent.values(), key=_open_ms))
            return found[max(0, len(found) - count) :], len(found) < count
        found = sorted(self._window.values(), key=_open_ms)
        is_short = len(found) < count and not self._is_whole
        return found[max(0, len(found) - count) :], is_short

    def covered(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[Candle] | None:
        """Return what a store would of ``[start_ms, end_ms)``, or None if the window is too short.

        As in a store, ``limit`` keeps the earliest ones when there is a ``start_ms``, else the
        latest.
        """
        if self._from_ms is None:
            return None
        is_before = start_ms is not None and start_ms < self._from_ms
        if is_before and not self._is_whole:
            return None
        found = [
            self._window[open_ms]
            for open_ms in sorted(self._window)
            if (start_ms is None or start_ms <= open_ms) and (end_ms is None or open_ms < end_ms)
        ]
        if start_ms is not None:
            return found[:limit]
        is_enough = self._is_whole or len(found) >= limit
        return found[max(0, len(found) - limit) :] if is_enough else None

    def over(
        self, stored: Sequence[Candle], start_ms: int | None, end_ms: int | None
    ) -> list[Candle]:
        """Return stored and recent candles in ``[start_ms, end_ms)``, the newer form of each.

        Recent ones that do not follow on from the stored ones are left out: what lies between
        is still on its way to the store.
        """
        found = self._merged(stored, start_ms, end_ms)
        if not stored or found[-1] is stored[-1]:
            return found
        holes = _holes(found, stored[-1].open_time_ms)
        return found[: holes[0]] if holes else found

    def _merged(
        self, stored: Sequence[Candle], start_ms: int | None, end_ms: int | None
    ) -> list[Candle]:
        inside = {
            open_ms: candle
            for open_ms, candle in self._recent.items()
            if (start_ms is None or start_ms <= open_ms) and (end_ms is None or open_ms < end_ms)
        }
        if not inside:
            return list(stored)
        merged = {candle.open_time_ms: candle for candle in stored}
        for open_ms, candle in inside.items():
            if _is_newer(candle, merged.get(open_ms)):
                merged[open_ms] = candle
        return [merged[open_ms] for open_ms in sorted(merged)]

    def _trim(self) -> None:
        surplus = len(self._window) - MAX_LOADED
        if surplus > 0:
            opens = sorted(self._window)
            for open_ms in opens[:surplus]:
                del self._window[open_ms]
            self._from_ms, self._is_whole = opens[surplus], False


def _is_newer(candle: Candle, stored: Candle | None) -> bool:
    """Return whether ``candle`` says more than ``stored``; the topic wins where they are even."""
    return stored is None or _age(candle) >= _age(stored)


def _age(candle: Candle) -> tuple[int, int, bool, int]:
    return candle.revision, candle.updated_ms, candle.status == "final", candle.trades


def _open_ms(candle: Candle) -> int:
    return candle.open_time_ms


def _holes(candles: list[Candle], from_ms: int | None) -> list[int]:
    """Return which of ``candles``, sorted, do not follow on from one that opens then or later."""
    return [
        place
        for place in range(1, len(candles))
        if (from_ms is None or candles[place - 1].open_time_ms >= from_ms)
        and candles[place - 1].close_time_ms != candles[place].open_time_ms
    ]


def _without_holes(candles: list[Candle]) -> list[Candle]:
    """Return the end of ``candles``, sorted, in which each begins where the one before ends."""
    holes = _holes(candles, None)
    return candles[holes[-1] :] if holes else candles
