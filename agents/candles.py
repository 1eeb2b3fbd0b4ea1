"""The candles of one market at seven intervals: exact, in any order, until they are final."""

from collections.abc import Iterable

from chaintide.agents.bars import Bar, bar_of, rows
from chaintide.agents.book import LEVELS, MINUTE_US, Book, Pending, Rules, by_minute, opening
from chaintide.agents.gaps import after, are_in, cause
from chaintide.agents.runs import Runs
from chaintide.agents.shelf import Shelf
from chaintide.agents.waiting import Waiting
from chaintide.agents.windows import WIDTHS_US, Shown, Window, candle, close_of
from chaintide.streams.records import Candle, Gap, Market, Reason, Status, TradeBatch

MAX_FILL = 10_080
_STATUS: tuple[Status, ...] = ("open", "closed", "corrected")


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
        self._waiting = Waiting(book)
        self._touched: set[tuple[int, int]] = set()
        self._dirty: set[tuple[int, int]] = set()
        self._finals: list[Candle] = []
        self._gaps: list[Gap] = []

    # ------------------------------------------------------------------ events

    def on_trades(self, batch: TradeBatch, position: int | None = None) -> list[TradeBatch]:
        """Fold trades in and return those refused because their candle is final.

        With a ``position`` the trades stay pending: ``undo`` may drop them until ``settle``.
        """
        refused, limit_us = [], self.book.limit_us(self.rules)
        for minute_us, part in by_minute(batch):
            if minute_us + MINUTE_US <= limit_us:
                refused.append(part)
                continue
            fresh = self._unseen(minute_us, part)
            if fresh is not None:
                if position is None:
                    self._fold(minute_us, fresh)
                else:
                    self._fold_pending(fresh, position)
        seen_us = max(batch.times_us)
        self.book.seen_us = max(self.book.seen_us, seen_us)
        self._advance(seen_us - self.rules.grace_us)
        return refused

    def on_heartbeat(self, time_us: int) -> None:
        """Take it that every trade before ``time_us`` has been seen."""
        self._advance(time_us)

    def on_gap(self, gap: Gap) -> None:
        """Mark the candles that ``gap`` touches incomplete, or complete again once filled."""
        self.book.gaps, changed = after(self.book.gaps, gap)
        self._gaps += changed
        for level in LEVELS:
            for open_us in self.shelf.between(level, opening(gap.from_us, level), gap.to_us):
                self._touched.add((level, open_us))
        self._revise("backfill" if gap.filled else "late")

    def undo(self, position: int) -> None:
        """Drop every pending trade above ``position``."""
        for trade in self._waiting.take_above(position):
            bar = trade.bar
            minute = self.shelf.get(0, opening(bar.open_time_us, 0))
            Runs(minute.runs).discard(bar.open_id)
            for level, window in self._windows(bar.open_time_us):
                if not window.flat:
                    before = self._close_before(level, window.open_us)
                    window.flat = before or close_of(window, bar)
                self._touched.add((level, window.open_us))
        self._carry()
        self._revise("reorg")

    def settle(self, position: int, time_us: int) -> None:
        """Make every pending trade at or below ``position`` settled.

        All that is before ``time_us``, the time there, is final now; no candle changes else.
        """
        self.book.settled = max(self.book.settled, position)
        self.book.settled_us = max(self.book.settled_us, time_us)
        for trade in self._waiting.take_until(position):
            for _, window in self._windows(trade.bar.open_time_us):
                window.absorb(trade.bar)
        self._finalize()

    def drain(self, levels: range = LEVELS) -> tuple[list[Candle], list[Gap]]:
        """Return the newest form of every candle and gap that changed since the last call.

        Changed candles of intervals that are not in ``levels`` wait for another call.
        """
        candles, gaps = self._finals, self._gaps
        drained = {place for place in self._dirty if place[0] in levels}
        candles += [self._candle(level, open_us) for level, open_us in sorted(drained)]
        self._dirty -= drained
        self._finals, self._gaps = [], []
        return candles, gaps

    @property
    def is_dirty(self) -> bool:
        """Return whether ``drain`` has anything to return."""
        return bool(self._dirty or self._finals or self._gaps)

    # ----------------------------------------------------------------- folding

    def _unseen(self, minute_us: int, part: TradeBatch) -> TradeBatch | None:
        minute = self.shelf.minute(minute_us)[0]
        places = Runs(minute.runs).add_new(part.ids)
        self.duplicates += len(part) - len(places)
        if len(places) == len(part):
            return part
        return rows(part, places) if places else None

    def _fold(self, minute_us: int, fresh: TradeBatch) -> None:
        book, bar = self.book, bar_of(fresh)
        self._begin(bar.open_time_us)
        is_open = minute_us >= book.closed_us[0] and not self._touched
        changed = self._dirty if is_open else self._touched
        now_us = max(book.watermark_us, book.seen_us)
        for level, window in enumerate(self.shelf.minute(minute_us)):
            window.absorb(bar)
            window.updated_us = now_us
            self._waiting.forget(level, window.open_us)
            changed.add((level, window.open_us))
        if not is_open:
            self._carry()
            self._revise(cause(book.gaps, fresh.times_us))

    def _fold_pending(self, batch: TradeBatch, position: int) -> None:
        self._begin(min(batch.times_us))
        for row in range(len(batch)):
            bar = bar_of(rows(batch, [row]))
            self._waiting.add(Pending(position, bar))
            for level, window in self._windows(bar.open_time_us):
                self._touched.add((level, window.open_us))
        self._carry()
        # Blocks come in order, so a window that has closed gets trades of a replaced one only.
        self._revise("reorg")

    def _windows(self, time_us: int) -> Iterable[tuple[int, Window]]:
        """Return the window of ``time_us`` at every level, made where there was none."""
        return enumerate(self.shelf.minute(opening(time_us, 0)))

    def _shown(self, level: int, window: Window) -> Bar | None:
        """Return settled and pending trades of ``window`` in one bar."""
        return self._waiting.shown(level, window)

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
                unclosed = max(starts[level], opening(book.watermark_us, level))
                book.closed_us[level] = min(book.closed_us[level], unclosed)
                for open_us in self._fillable(level, starts[level], min(old, unclosed)):
                    self._touched.add((level, open_us))

    # -------------------------------------------------------------------- time

    def _advance(self, watermark_us: int) -> None:
        book = self.book
        if watermark_us <= book.watermark_us:
            return
        book.watermark_us = watermark_us
        if book.start_us is None:
            return
        # Where no minute ends, nothing longer does.
        if book.closed_us[0] + MINUTE_US <= watermark_us:
            for level, width_us in enumerate(WIDTHS_US):
                if book.closed_us[level] + width_us <= watermark_us:
                    self._close(level)
        if book.final_us[0] + MINUTE_US <= book.limit_us(self.rules):
            self._finalize()

    def _close(self, level: int) -> None:
        """Close every window that ends at or before the watermark, traded in or not."""
        book = self.book
        end_us = opening(book.watermark_us, level)
        price = self._close_before(level, book.closed_us[level])
        for open_us in self._fillable(level, book.closed_us[level], end_us):
            window = self.shelf.get(level, open_us)
            shown = self._shown(level, window)
            if shown is None:
                window.flat = price
            price = close_of(window, shown)
            window.revision = book.first_revision(open_us, level)
            window.reason = "backfill" if window.revision > 1 else None
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
        limit_us = book.limit_us(self.rules)
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
        until_us = self.book.closed_us[level]
        while (following := self.shelf.next(level, open_us, until_us)) is not None:
            window = self.shelf.get(level, following)
            if window.flat == price or self._shown(level, window) is not None:
                return
            window.flat = price
            self._touched.add((level, following))
            open_us = following + WIDTHS_US[level]

    def _revise(self, reason: Reason) -> None:
        """Count one revision for every closed window touched by this event."""
        book = self.book
        now_us = max(book.watermark_us, book.seen_us)
        for level, open_us in self._touched:
            window = self.shelf.get(level, open_us)
            if open_us < book.closed_us[level]:
                window.revision = max(window.revision + 1, book.first_revision(open_us, level))
                window.reason = reason if window.revision > 1 else None
                book.revision = max(book.revision, window.revision)
            window.updated_us = now_us
            self.shelf.changed(window)
        self._dirty |= self._touched
        self._touched = set()

    def _close_before(self, level: int, open_us: int) -> str:
        before_us = self.shelf.previous(level, open_us)
        if before_us is None:
            return self.book.base[level]
        window = self.shelf.get(level, before_us)
        return close_of(window, self._shown(level, window))

    def _candle(self, level: int, open_us: int, status: Status | None = None) -> Candle:
        window = self.shelf.get(level, open_us)
        complete = self._is_complete(open_us, open_us + WIDTHS_US[level])
        shown = Shown(self.market, level, status or _STATUS[min(window.revision, 2)], complete)
        return candle(window, self._shown(level, window), shown)

    def _is_complete(self, open_us: int, close_us: int) -> bool:
        start_us = self.book.start_us or 0
        is_partial = open_us < start_us < close_us
        return not is_partial and not are_in(self.book.gaps, open_us, close_us)
