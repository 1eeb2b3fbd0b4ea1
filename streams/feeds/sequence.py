"""The trades of one market, each once and in the order of their ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import msgspec

from chaintide.streams.feeds.adapter import Mark, Page, VenueTrade
from chaintide.streams.records import Gap, Market

REORDER_MS: Final = 200
RETRY_MS: Final = 1_000
REPLAY_MS: Final = 1_000
HOLD_MS: Final = 30_000
REFUSED_RETRY_MS: Final = 60_000
MAX_WAITING: Final = 20_000
MAX_MISSING: Final = 100
_RESTART_US: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """Trades to pass on, in this order."""

    trades: list[VenueTrade]


@dataclass(frozen=True, slots=True)
class Missing:
    """Trades given up on for now: those after ``after`` and before ``before_id``."""

    gap: Gap
    after: Mark
    before_id: int
    absent: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetch:
    """A page of trades to get from REST, to fill what is missing or the hole in front."""

    market: Market
    after: Mark
    missing: Missing | None


Output = Delivery | Gap | Fetch


@dataclass(slots=True)
class SequenceLogic:
    """Suppresses repeats, finds holes, and holds live trades until REST has filled them.

    Everything up to ``last`` has been delivered or reported as a gap. A jump in the ids may be
    a mere reordering, so it gets 200 ms before it is fetched; a new subscription is fetched at
    once. After 30 s, or when the venue refuses, waiting trades are delivered behind a ``Gap``
    and the missing ones are fetched in the background, at least once a minute, until they come.
    Ids that the venue's answer passes over are a ``Gap`` too, and not asked for again.

    Bounds: beyond 20,000 waiting trades all of them are dropped, and fetched later instead;
    beyond 100 gaps one is no longer fetched and stays reported.
    """

    market: Market
    last: Mark | None = None
    is_subscribed: bool = False
    duplicates: int = 0
    _waiting: dict[int, VenueTrade] = field(default_factory=dict[int, VenueTrade])
    _missing: list[Missing] = field(default_factory=list[Missing])
    _hole_ms: int | None = None
    _fetch_ms: int = 0
    _missing_ms: int = 0
    _is_fetching: bool = False
    _reason: str = ""

    @property
    def is_caught_up(self) -> bool:
        """Return whether everything the venue has reported so far has been delivered."""
        return self.is_subscribed and self._hole_ms is None

    def on_subscribed(self, *, now_ms: int) -> None:
        """Assume that trades were missed; a market without a past awaits a replay for 1 s."""
        if not self.is_subscribed:
            self._open_hole(now_ms, wait_ms=0)
        self.is_subscribed = True

    def on_disconnect(self) -> None:
        """Promise nothing until the next subscription."""
        self.is_subscribed = False

    def on_trades(self, trades: Sequence[VenueTrade], *, now_ms: int) -> list[Output]:
        """Return what live ``trades`` of one message make deliverable."""
        if not trades:
            return []
        last = self.last or _before(min(trades, key=_by_id))
        outputs: list[Output] = []
        if _has_restarted(last, trades):
            outputs.append(self._gap(last, min(t.time_us for t in trades), "trade ids restarted"))
            last = _before(min(trades, key=_by_id))
            self._waiting, self._hole_ms = {}, None
        self.last = last
        for trade in trades:
            if trade.id <= last.id or trade.id in self._waiting:
                self.duplicates += 1
            else:
                self._waiting[trade.id] = trade
        return outputs + _delivery(self._settle(now_ms))

    def on_page(self, fetch: Fetch, page: Page, *, now_ms: int) -> list[Output]:
        """Return what a fetched page fills; fetched trades give way to those that came live."""
        self._is_fetching = False
        if fetch.missing is not None:
            return self._fill(fetch.missing, page, now_ms)
        if self._hole_ms is None or self.last is None:
            return []
        first_id = min(self._waiting, default=None)
        fresh = _between(page, self.last.id, first_id)
        has_more = page.is_full and bool(fresh)
        if first_id is None:
            is_reached = not has_more
        else:
            is_reached = any(trade.id >= first_id - 1 for trade in page.trades)
        first = self._waiting[first_id] if is_reached and first_id is not None else None
        gaps = self._absent(self.last, fresh if first is None else [*fresh, first])
        self._advance(fresh)
        if not is_reached:
            self._fetch_ms = now_ms if has_more else now_ms + RETRY_MS
            return [*gaps, *_delivery(fresh)]
        if first is not None:
            self.last = Mark(first.id - 1, self.last.time_us)
        return [*gaps, *_delivery(fresh + self._settle(now_ms))]

    def on_failure(
        self, fetch: Fetch, reason: str, *, now_ms: int, retry_ms: int | None
    ) -> list[Output]:
        """Return the gap if the venue refused, which ``retry_ms`` None means; else try again."""
        self._is_fetching = False
        if fetch.missing is not None:
            self._missing_ms = now_ms + REFUSED_RETRY_MS
            others = [m for m in self._missing if m is not fetch.missing]
            self._missing = [*others, fetch.missing][-MAX_MISSING:]
            return []
        self._reason = reason
        self._fetch_ms = now_ms + (REFUSED_RETRY_MS if retry_ms is None else retry_ms)
        return self._give_up(now_ms) if retry_ms is None and self._waiting else []

    def on_tick(self, *, now_ms: int) -> list[Output]:
        """Return the gap that has been waited for too long, then the fetch that is due."""
        outputs: list[Output] = []
        if self.last is None and self._hole_ms is not None:
            self._hole_ms = None if now_ms - self._hole_ms >= REPLAY_MS else self._hole_ms
        if self._waiting and self._hole_ms is not None and now_ms - self._hole_ms >= HOLD_MS:
            outputs = self._give_up(now_ms)
        fetch = self._due_fetch(now_ms)
        if fetch is not None:
            self._is_fetching = True
            outputs.append(fetch)
        return outputs

    def _due_fetch(self, now_ms: int) -> Fetch | None:
        if self._is_fetching or self.last is None:
            return None
        if self._hole_ms is not None and now_ms >= self._fetch_ms:
            return Fetch(self.market, self.last, None)
        if self._missing and now_ms >= self._missing_ms:
            return Fetch(self.market, self._missing[0].after, self._missing[0])
        return None

    def _open_hole(self, now_ms: int, *, wait_ms: int) -> None:
        self._hole_ms, self._fetch_ms, self._reason = now_ms, now_ms + wait_ms, ""

    def _advance(self, trades: list[VenueTrade]) -> None:
        if trades and self.last is not None:
            time_us = max(self.last.time_us, *(trade.time_us for trade in trades))
            self.last = Mark(trades[-1].id, time_us)

    def _settle(self, now_ms: int) -> list[VenueTrade]:
        ready: list[VenueTrade] = []
        next_id = self.last.id + 1 if self.last is not None else 0
        while next_id in self._waiting:
            ready.append(self._waiting.pop(next_id))
            next_id += 1
        self._advance(ready)
        if not self._waiting:
            self._hole_ms = None
        elif ready or self._hole_ms is None:
            self._open_hole(now_ms, wait_ms=REORDER_MS)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
        return ready

    def _gap(self, after: Mark, to_us: int, reason: str) -> Gap:
        to_us = max(to_us, after.time_us + 1)
        return Gap(market=self.market, from_us=after.time_us, to_us=to_us, reason=reason)

    def _absent(self, after: Mark, found: Sequence[VenueTrade | Mark]) -> list[Gap]:
        """Return a gap wherever the ids of the venue's answer jump."""
        return [
            self._gap(Mark(a.id, a.time_us), b.time_us, f"the venue lacks {a.id + 1} to {b.id - 1}")
            for a, b in pairwise([after, *found])
            if b.id > a.id + 1
        ]

    def _give_up(self, now_ms: int) -> list[Output]:
        first = self._waiting[min(self._waiting)]
        after = self.last or _before(first)
        gap = self._gap(after, first.time_us, self._reason or "backfill took more than 30 s")
        self._missing = [*self._missing, Missing(gap, after, first.id)][-MAX_MISSING:]
        self.last = Mark(first.id - 1, after.time_us)
        return [gap, *_delivery(self._settle(now_ms))]

    def _fill(self, missing: Missing, page: Page, now_ms: int) -> list[Output]:
        found = _between(page, missing.after.id, missing.before_id)
        others = [m for m in self._missing if m is not missing]
        if any(trade.id >= missing.before_id - 1 for trade in page.trades):
            self._missing = others
            end = Mark(missing.before_id, missing.gap.to_us)
            filled = msgspec.structs.replace(missing.gap, filled=True)
            absent = [*missing.absent, *self._absent(missing.after, [*found, end])]
            return [*_delivery(found), filled, *absent]
        if found:
            absent = [*missing.absent, *self._absent(missing.after, found)]
            after = Mark(found[-1].id, found[-1].time_us)
            missing = replace(missing, after=after, absent=tuple(absent))
        if not (page.is_full and found):
            self._missing_ms = now_ms + REFUSED_RETRY_MS
        self._missing = [missing, *others][-MAX_MISSING:]
        return _delivery(found)


def _by_id(trade: VenueTrade) -> int:
    return trade.id


def _before(trade: VenueTrade) -> Mark:
    return Mark(trade.id - 1, trade.time_us)


def _between(page: Page, after_id: int, before_id: int | None) -> list[VenueTrade]:
    inside = {
        trade.id: trade
        for trade in page.trades
        if trade.id > after_id and (before_id is None or trade.id < before_id)
    }
    return sorted(inside.values(), key=_by_id)


def _delivery(trades: list[VenueTrade]) -> list[Output]:
    return [Delivery(trades)] if trades else []


def _has_restarted(last: Mark, trades: Sequence[VenueTrade]) -> bool:
    return all(
        trade.id <= last.id and trade.time_us > last.time_us + _RESTART_US for trade in trades
    )
