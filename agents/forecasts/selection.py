"""Which candles a learner is told of, each once."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.records import Candle, CandleBatch, Market

Verdict = Literal["closed", "corrected", "open", "known"]
MAX_CORRECTED = 64
Version = tuple[int, int]


class Seen(msgspec.Struct):
    """What must outlive a restart: who wrote last of each market, and corrections told."""

    versions: dict[Market, Version] = {}
    corrected: dict[str, dict[int, int]] = {}


class Selection:
    """Sorts candles into new ones, corrections of old ones, open ones and repeats.

    On a chain a candle is closed when it is final: until then its trades may be taken back. Of
    each series it knows the last 64 corrections; older ones count again when they are repeated.
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
        if candle.open_time_ms > self._last.get(key, candle.open_time_ms - 1):
            self._last[key] = candle.open_time_ms
            self._is_news(candle)
            return "closed"
        return "corrected" if self._is_news(candle) else "known"

    def _is_news(self, candle: Candle) -> bool:
        """Return whether ``candle`` is a correction that was not told yet; remember it."""
        if candle.revision <= 1:
            return False
        told = self.seen.corrected.setdefault(f"{candle.market}|{candle.interval}", {})
        if told.get(candle.open_time_ms, 1) >= candle.revision:
            return False
        told[candle.open_time_ms] = candle.revision
        while len(told) > MAX_CORRECTED:
            del told[min(told)]
        return True


def is_settled(candle: Candle) -> bool:
    """Return whether ``candle`` may be learned from."""
    if is_on_chain(candle.market):
        return candle.status == "final"
    return candle.status != "open"


def is_on_chain(market: Market) -> bool:
    """Return whether ``market`` is one of a chain, by the address in its name.

    >>> is_on_chain(Market("5151:0xa1/0x01")), is_on_chain(Market("kraken:BTC-USD"))
    (True, False)
    """
    return market.partition(":")[2].startswith("0x")


def in_order(candles: Iterable[Candle]) -> list[Candle]:
    """Return ``candles`` as they closed, shorter ones before the longer ones they end."""
    return sorted(candles, key=lambda one: (one.close_time_ms, WIDTH_MS[one.interval]))
