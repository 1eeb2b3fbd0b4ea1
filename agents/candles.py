"""The candles of one market at seven intervals: exact, in any order, until they are final."""

from collections.abc import Iterator

import msgspec

from chaintide.agents.bars import Bar, bar_of, rows
from chaintide.agents.runs import Runs
from chaintide.agents.shelf import Shelf
from chaintide.agents.windows import WIDTHS_US, Shown, Window, candle, close_of
from chaintide.streams.intervals import INTERVALS, ORIGIN_MS
from chaintide.streams.records import Candle, Gap, Market, Status, TradeBatch

LEVELS = range(len(INTERVALS))
MINUTE_US = WIDTHS_US[0]
MAX_FILL = 10_080
MAX_GAPS = 1_000
_STATUS: tuple[Status, ...] = ("open", "closed", "corrected")
_ORIGINS_US = tuple(ORIGIN_MS[interval] * 1000 for interval in INTERVALS)


class Rules(msgspec.Struct, frozen=True):
    """When a window closes and when it is final.

    A window closes once the watermark, ``grace_us`` behind the newest trade, passes its end;
    it is final ``horizon_us`` after that, when it is forgotten.
    """

    grace_us: int = 2_000_000
    horizon_us: int = 86_400_000_000


class Pending(msgspec.Struct, array_like=True):
    """One trade that may still be undone: where on its chain it stands, and its bar."""

    position: int
    bar: Bar


class Book(msgspec.Struct):
    """What a market's candles have to remember besides their windows.

    Lists have one entry per interval. ``closed_us`` and ``final_us`` are the open times of the
    first windows not yet closed and not yet final; ``base`` is the last price before those.
    """

    watermark_us: int = -(2**62)
    seen_us: int = 0
    start_us: int | None = None
    closed_us: list[int] = []
    final_us: list[int] = []
    base: list[str] = []
    gaps: list[Gap] = []
    pending: list[Pending] = []


def opening(time_us: int, level: int) -> int:
    """Return the open time of the window of ``time_us`` at ``INTERVALS[level]``, in µs."""
    return time_us - (time_us - _ORIGINS_US[level]) % WIDTHS_US[level]


class CandleLogic:
    """The candles of one market. No clock, no I/O: event time moves only by what it is told.

    A bar shows ``settled + fold(pending)``. After every ``on_*`` call, ``drain`` returns what
    changed.
    """

    def __init__(self, market: Market, rules: Rules, book: Book, shelf: Shelf) -> None:
        self.market = market
        self.rules = rules
        self.book = book
        self.shelf = shelf
        self.duplicates = 0
        self._touched: set[tuple[int, int]] = set()
        self._dirty: set[tuple[int, int]] = set()
        self._finals: list[Candle] = []
        self._gaps: list[Gap] = []

    # ------------------------------------------------------------------ events

    def on_trades(self, batch: TradeBatch, position: int | None = None) -> list[TradeBatch]:
        """Fold trades in and return those refused because their candle is final.

        With a ``position`` the trades stay pending: ``undo`` may drop them until ``settle``.
        """
        refused = []
        for minute_us, part in _by_minute(batch):
            if minute_us + MINUTE_US + self.rules.horizon_us <= self.book.watermark_us:
                refused.append(part)
                continue
            fresh = self._unseen(minute_us, part)
            if fresh is not None:
                self._begin(min(fresh.times_us))
                self._fold(fresh, position)
        seen_us = max(batch.times_us)
        self.book.seen_us = max(self.book.seen_us, seen_us)
        self._advance(seen_us - self.rules.grace_us)
        return refused

    def on_heartbeat(self, time_us: int) -> None:
        """Take it that every trade before ``time_us`` has been seen."""
        self._advance(time_us)

    def on_gap(self, gap: Gap) -> None:
        """Mark the candles that ``gap`` touches incomplete, or complete again once filled."""
        book = self.book
        kept = [g for g in book.gaps if not (gap.filled and _overlap(g, gap))]
        for cut in (g for g in book.gaps if gap.filled and _overlap(g, gap)):
            kept += _rest(cut, gap)
        if not gap.filled and gap not in kept:
            kept.append(gap)
        self._gaps += [msgspec.structs.replace(g, filled=True) for g in book.gaps if g not in kept]
        self._gaps += [g for g in kept if g not in book.gaps]
        book.gaps = sorted(kept, key=lambda g: (g.from_us, g.to_us))[-MAX_GAPS:]
        for level in LEVELS:
            for open_us in self.shelf.between(level, opening(gap.from_us, level), gap.to_us):
                self._touched.add((level, open_us))
        self._revise()

    def undo(self, position: int) -> None:
        """Drop every pending trade above ``position``."""
        gone = [p for p in self.book.pending if p.position > position]
        self.book.pending = [p for p in self.book.pending if p.position <= position]
        for trade in gone:
            bar = trade.bar
            minute = self.shelf.get(0, opening(bar.open_time_us, 0))
            Runs(minute.runs).discard(bar.open_id)
            for level, window in self._windows(bar.open_time_us):
                if not window.flat:
                    before = self._close_before(level, window.open_us)
                    window.flat = before or close_of(window, bar)
                self._touched.add((level, window.open_us))
        self._carry()
        self._revise()

    def settle(self, position: int) -> None:
        """Make every pending trade at or below ``position`` settled; no candle changes."""
        for trade in self.book.pending:
            if trade.position <= position:
                for _, window in self._windows(trade.bar.open_time_us):
                    _absorb(window, trade.bar)
                    self.shelf.changed(window)
        self.book.pending = [p for p in self.book.pending if p.position > position]
        self._finalize()

    def drain(self) -> tuple[list[Candle], list[Gap]]:
        """Return the newest form of every candle and gap that changed since the last call."""
        candles, gaps = self._finals, self._gaps
        candles += [self._candle(level, open_us) for level, open_us in sorted(self._dirty)]
        self._dirty, self._finals, self._gaps = set(), [], []
        return candles, gaps

    @property
    def is_dirty(self) -> bool:
        """Return whether ``drain`` has anything to return."""
        return bool(self._dirty or self._finals or self._gaps)

    # ----------------------------------------------------------------- folding

    def _unseen(self, minute_us: int, part: TradeBatch) -> TradeBatch | None:
        minute = self.shelf.get(0, minute_us)
        places = Runs(minute.runs).add_new(part.ids)
        self.shelf.changed(minute)
        self.duplicates += len(part) - len(places)
        if len(places) == len(part):
            return part
        return rows(part, places) if places else None

    def _fold(self, batch: TradeBatch, position: int | None) -> None:
        if position is None:
            bar = bar_of(batch)
            for level, window in self._windows(bar.open_time_us):
                _absorb(window, bar)
                self._touched.add((level, window.open_us))
        else:
            self._fold_pending(batch, position)
        self._carry()
        self._revise()

    def _fold_pending(self, batch: TradeBatch, position: int) -> None:
        for row in range(len(batch)):
            bar = bar_of(rows(batch, [row]))
            self.book.pending.append(Pending(position, bar))
            for level, window in self._windows(bar.open_time_us):
                self._touched.add((level, window.open_us))

    def _windows(self, time_us: int) -> list[tuple[int, Window]]:
        """Return the window of ``time_us`` at every level, made where there was none."""
        shelf = self.shelf
        found = []
        for level in LEVELS:
            window = shelf.get(level, opening(time_us, level))
            shelf.changed(window)
            found.append((level, window))
        return found

    def _shown(self, level: int, window: Window) -> Bar | None:
        """Return settled and pending trades of ``window`` in one bar."""
        end_us = window.open_us + WIDTHS_US[level]
        bar = window.bar
        waiting = [
            p.bar for p in self.book.pending if window.open_us <= p.bar.open_time_us < end_us
        ]
        if not waiting:
            return bar
        whole = (bar or waiting.pop()).copy()
        for other in waiting:
            whole.absorb(other)
        return whole

    def _begin(self, time_us: int) -> None:
        """Let the market begin at ``time_us`` if it is the earliest trade so far."""
        book = self.book
        if book.start_us is not None and book.start_us <= time_us:
            return
        first, book.start_us = book.start_us, time_us
        starts = [opening(time_us, level) for level in LEVELS]
        if first is None:
            book.closed_us, book.final_us = starts, list(starts)
            book.base = [""] * len(starts)
            return
        for level in LEVELS:
            old = opening(first, level)
            self._touched.add((level, old))
            if starts[level] < old:
                book.final_us[level] = starts[level]
                for open_us in self._fillable(level, starts[level], old):
                    self._touched.add((level, open_us))

    # -------------------------------------------------------------------- time

    def _advance(self, watermark_us: int) -> None:
        book = self.book
        if watermark_us <= book.watermark_us:
            return
        book.watermark_us = watermark_us
        if book.start_us is None:
            return
        for level, width_us in enumerate(WIDTHS_US):
            if book.closed_us[level] + width_us <= watermark_us:
                self._close(level)
        self._finalize()

    def _close(self, level: int) -> None:
        """Close every window that ends at or before the watermark, traded in or not."""
        book = self.book
        end_us = opening(book.watermark_us, level)
        for open_us in self._fillable(level, book.closed_us[level], end_us):
            window = self.shelf.get(level, open_us)
            if self._shown(level, window) is None:
                window.flat = self._close_before(level, open_us)
            window.revision = 1
            window.updated_us = max(book.watermark_us, book.seen_us)
            self.shelf.changed(window)
            self._dirty.add((level, open_us))
        book.closed_us[level] = end_us

    def _fillable(self, level: int, from_us: int, to_us: int) -> list[int]:
        """Return the windows to show: all that exist, and quiet ones unless there are too many."""
        width_us = WIDTHS_US[level]
        if (to_us - from_us) // width_us > MAX_FILL:
            return self.shelf.between(level, from_us, to_us)
        return list(range(from_us, to_us, width_us))

    def _finalize(self) -> None:
        """Emit final candles once and forget their windows."""
        book = self.book
        if book.start_us is None:
            return
        limit_us = book.watermark_us - self.rules.horizon_us
        for trade in book.pending:
            limit_us = min(limit_us, trade.bar.open_time_us)
        for level, width_us in enumerate(WIDTHS_US):
            if book.final_us[level] + width_us > limit_us:
                continue
            end_us = opening(limit_us, level)
            for open_us in self.shelf.between(level, book.final_us[level], end_us):
                window = self.shelf.get(level, open_us)
                book.base[level] = close_of(window, self._shown(level, window))
                self._finals.append(self._candle(level, open_us, "final"))
                self._dirty.discard((level, open_us))
                self.shelf.drop(level, open_us)
            book.final_us[level] = end_us
        oldest_us = min(book.final_us)
        book.gaps = [gap for gap in book.gaps if gap.to_us > oldest_us]

    # --------------------------------------------------------------- revisions

    def _carry(self) -> None:
        """Let quiet windows follow the close before them, as far as it reaches."""
        closed_us = self.book.closed_us
        for level, open_us in sorted(t for t in self._touched if t[1] < closed_us[t[0]]):
            window = self.shelf.get(level, open_us)
            shown = self._shown(level, window)
            if shown is None:
                window.flat = self._close_before(level, open_us) or window.flat
            self._carry_on(level, open_us + WIDTHS_US[level], close_of(window, shown))

    def _carry_on(self, level: int, open_us: int, price: str) -> None:
        while open_us < self.book.closed_us[level] and self.shelf.has(level, open_us):
            window = self.shelf.get(level, open_us)
            if window.flat == price or self._shown(level, window) is not None:
                return
            window.flat = price
            self._touched.add((level, open_us))
            open_us += WIDTHS_US[level]

    def _revise(self) -> None:
        """Count one revision for every closed window touched by this event."""
        book = self.book
        now_us = max(book.watermark_us, book.seen_us)
        for level, open_us in self._touched:
            window = self.shelf.get(level, open_us)
            if open_us < book.closed_us[level]:
                window.revision += 1
            window.updated_us = now_us
            self.shelf.changed(window)
        self._dirty |= self._touched
        self._touched = set()

    def _close_before(self, level: int, open_us: int) -> str:
        before_us = open_us - WIDTHS_US[level]
        if self.shelf.has(level, before_us):
            window = self.shelf.get(level, before_us)
            return close_of(window, self._shown(level, window))
        return self.book.base[level]

    def _candle(self, level: int, open_us: int, status: Status | None = None) -> Candle:
        window = self.shelf.get(level, open_us)
        complete = self._is_complete(open_us, open_us + WIDTHS_US[level])
        shown = Shown(self.market, level, status or _STATUS[min(window.revision, 2)], complete)
        return candle(window, self._shown(level, window), shown)

    def _is_complete(self, open_us: int, close_us: int) -> bool:
        start_us = self.book.start_us or 0
        is_partial = open_us < start_us < close_us
        return not is_partial and not any(
            gap.from_us < close_us and open_us < gap.to_us for gap in self.book.gaps
        )


def _absorb(window: Window, bar: Bar) -> None:
    if window.bar is None:
        window.bar = bar.copy()
    else:
        window.bar.absorb(bar)


def _by_minute(batch: TradeBatch) -> Iterator[tuple[int, TradeBatch]]:
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


def _overlap(one: Gap, other: Gap) -> bool:
    return one.from_us < other.to_us and other.from_us < one.to_us


def _rest(gap: Gap, filled: Gap) -> list[Gap]:
    """Return what is left of ``gap`` when ``filled`` is taken out."""
    parts = ((gap.from_us, filled.from_us), (filled.to_us, gap.to_us))
    return [msgspec.structs.replace(gap, from_us=a, to_us=b) for a, b in parts if a < b]
