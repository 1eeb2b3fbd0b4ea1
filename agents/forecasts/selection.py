"""Which candles a learner is told of, each once."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from chaintide.streams.finality import is_settled
from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.records import Candle, CandleBatch, Market

Verdict = Literal["closed", "corrected", "open", "known"]
MAX_AGE = 64  # candles: no learner keeps more of a market
Version = tuple[int, int]


class Seen(msgspec.Struct):
    """What must outlive a restart: who wrote last of each market, and corrections told."""

    versions: dict[Market, Version] = {}
    corrected: dict[str, dict[int, int]] = {}


class Selection:
    """Sorts candles into new ones, corrections of old ones, open ones and repeats.

    On a chain a candle is closed when it is final: until then its trades may be taken back. What
    is told of a candle 64 candles before the newest is old news: nothing is amended by then.
    """

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self._last: dict[tuple[Market, Interval], int] = {}

    def learned(self, market: Market, interval: Interval, open_time_ms: int) -> None:
        """Note the newest candle that a learner has learned from."""
        self._last[market, interval] = open_time_ms

    def is_stale(self, batch: CandleBatch) -> bool:
        """Return whether a replaced worker wrote ``batch``; if not it is the newest now."""
        version = (batch.generation, batch.offset)
        if version < self.seen.versions.get(batch.market, version):
            return True
        self.seen.versions[batch.market] = version
        return False

    def verdict(self, candle: Candle) -> Verdict:
        """Return what ``candle`` is to a learner, and remember that it was told."""
        if not is_settled(candle):
            return "open"
        key = (candle.market, candle.interval)
        last_ms = self._last.get(key, candle.open_time_ms - 1)
        oldest_ms = last_ms - MAX_AGE * WIDTH_MS[candle.interval]
        if candle.open_time_ms > last_ms:
            self._last[key] = candle.open_time_ms
            self._forget(candle)
            self._is_news(candle)
            return "closed"
        is_news = candle.open_time_ms > oldest_ms and self._is_news(candle)
        return "corrected" if is_news else "known"

    def _is_news(self, candle: Candle) -> bool:
        """Return whether ``candle`` is a correction that was not told yet; remember it."""
        if candle.revision <= 1:
            return False
        told = self.seen.corrected.setdefault(_series(candle), {})
        if told.get(candle.open_time_ms, 1) >= candle.revision:
            return False
        told[candle.open_time_ms] = candle.revision
        return True

    def _forget(self, newest: Candle) -> None:
        """Forget the corrections of what ``newest`` has made too old to be corrected."""
        if (told := self.seen.corrected.get(_series(newest))) is None:
            return
        oldest_ms = newest.open_time_ms - MAX_AGE * WIDTH_MS[newest.interval]
        for open_time_ms in [each for each in told if each <= oldest_ms]:
            del told[open_time_ms]
        if not told:
            del self.seen.corrected[_series(newest)]


def _series(candle: Candle) -> str:
    return f"{candle.market}|{candle.interval}"


def in_order(candles: Iterable[Candle]) -> list[Candle]:
    """Return ``candles`` as they closed, shorter ones before the longer ones they end."""
    return sorted(candles, key=lambda one: (one.close_time_ms, WIDTH_MS[one.interval]))
