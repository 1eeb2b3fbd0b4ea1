"""How a feed is doing, for people and monitors."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from chaintide.streams.feeds.breaker import Breaker
from chaintide.streams.records import Gap, Market

FeedState = Literal["connecting", "live", "backfilling"]


@dataclass(slots=True)
class FeedStatus:
    """The state of one feed and its counts since the start; the last 100 gaps."""

    venue: str
    markets: list[Market]
    state: FeedState = "connecting"
    breaker: Breaker = field(default_factory=Breaker)
    last_message_ms: int | None = None
    lag_ms: int | None = None
    connects: int = 0
    trades: int = 0
    duplicates: int = 0
    bad_messages: int = 0
    refusals: int = 0
    last_error: str = ""
    gaps: deque[Gap] = field(default_factory=lambda: deque[Gap](maxlen=100))

    def silence_ms(self, *, now_ms: int) -> int | None:
        """Return the age of the last message, or None before the first."""
        return None if self.last_message_ms is None else max(0, now_ms - self.last_message_ms)
