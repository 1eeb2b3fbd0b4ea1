"""What a market's candles remember besides their windows, and where windows begin."""

from collections.abc import Iterator

import msgspec

from chaintide.agents.bars import Bar, rows
from chaintide.agents.windows import WIDTHS_US
from chaintide.streams.intervals import INTERVALS, ORIGIN_MS
from chaintide.streams.records import Gap, TradeBatch

LEVELS = range(len(INTERVALS))
MINUTE_US = WIDTHS_US[0]
_ORIGINS_US = tuple(ORIGIN_MS[interval] * 1000 for interval in INTERVALS)


class Rules(msgspec.Struct, frozen=True):
    """When a window closes and when it is final.

    A window closes once the watermark, ``grace_us`` behind the newest trade, passes its end;
    it is final ``horizon_us`` after that, or once its chain is final so far, and is forgotten.
    """

    grace_us: int = 2_000_000
    horizon_us: int = 86_400_000_000


class Pending(msgspec.Struct, array_like=True):
    """One trade that may still be undone: where on its chain it stands, and its bar."""

    position: int
    bar: Bar


class Before(msgspec.Struct, array_like=True, frozen=True):
    """What was shown of a market before it was rebuilt, at ``place``, and its highest revision.

    The place is the (generation, offset) of the input that said so.
    """

    place: tuple[int, int]
    start_us: int
    end_us: int
    revision: int


class Book(msgspec.Struct):
    """What a market's candles have to remember besides their windows.

    Lists have one entry per interval. ``closed_us`` and ``final_us`` are the open times of the
    first windows not yet closed and not yet final; ``base`` is the last price before those.
    ``settled_us`` is the time of the chain's last final block: no trade before it can come or go;
    ``settled`` is the number of the last one that the market was told of.
    ``revision`` is the highest of all closed windows so far.
    """

    watermark_us: int = -(2**62)
    seen_us: int = 0
    start_us: int | None = None
    closed_us: list[int] = []
    final_us: list[int] = []
    base: list[str] = []
    gaps: list[Gap] = []
    pending: list[Pending] = []
    settled_us: int = -(2**62)
    revision: int = 1
    before: Before | None = None
    settled: int = -1

    def first_revision(self, open_us: int, level: int) -> int:
        """Return the revision of a window as it closes: above all if it was shown before."""
        before = self.before
        if before is None or not opening(before.start_us, level) <= open_us < before.end_us:
            return 1
        return before.revision + 1

    def rebuilt(self, place: tuple[int, int]) -> "Book":
        """Return the book of a market whose trades come anew after the input at ``place``."""
        old, start_us, end_us = self.before, self.start_us, self.watermark_us
        if start_us is None:
            before = None if old is None else msgspec.structs.replace(old, place=place)
            return Book(revision=self.revision, before=before)
        if old is not None:
            start_us, end_us = min(start_us, old.start_us), max(end_us, old.end_us)
        revision = self.revision
        return Book(revision=revision, before=Before(place, start_us, end_us, revision))

    def limit_us(self, rules: Rules) -> int:
        """Return the time up to which nothing of the market can change any more."""
        settled_us = min(self.settled_us, self.watermark_us)
        return max(settled_us, self.watermark_us - rules.horizon_us)


def opening(time_us: int, level: int) -> int:
    """Return the open time of the window of ``time_us`` at ``INTERVALS[level]``, in µs."""
    return time_us - (time_us - _ORIGINS_US[level]) % WIDTHS_US[level]


def by_minute(batch: TradeBatch) -> Iterator[tuple[int, TradeBatch]]:
    """Yield the trades of each minute of ``batch``, oldest minute first."""
    times = batch.times_us
    first, last = opening(min(times), 0), opening(max(times), 0)
    if first == last:
        yield first, batch
        return
    places: dict[int, list[int]] = {}
    for row, time_us in enumerate(times):
        places.setdefault(opening(time_us, 0), []).append(row)
    for minute_us in sorted(places):
        yield minute_us, rows(batch, places[minute_us])
