"""How a feed is doing, for people and monitors."""

from collections import deque
from dataclasses import dataclass, field

from chaintide.streams.feeds.breaker import Breaker
from chaintide.streams.records import FeedReport, FeedState, Gap, Market


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
    missed: int = 0
    last_error: str = ""
    gaps: deque[Gap] = field(default_factory=lambda: deque[Gap](maxlen=100))

    def on_gap(self, gap: Gap) -> None:
        """Note a gap, or the end of one."""
        self.gaps.append(gap)
        self.missed += not gap.filled

    def silence_ms(self, *, now_ms: int) -> int | None:
        """Return the age of the last message, or None before the first."""
        return None if self.last_message_ms is None else max(0, now_ms - self.last_message_ms)

    def report(self, *, now_ms: int) -> FeedReport:
        """Return what others may know of it at ``now_ms``."""
        return FeedReport(
            venue=self.venue,
            time_ms=now_ms,
            markets=list(self.markets),
            state=self.state,
            breaker=self.breaker.state(now_ms=now_ms),
            last_message_ms=self.last_message_ms,
            silence_ms=self.silence_ms(now_ms=now_ms),
            lag_ms=self.lag_ms,
            connects=self.connects,
            trades=self.trades,
            duplicates=self.duplicates,
            bad_messages=self.bad_messages,
            refusals=self.refusals,
            gaps=self.missed,
            last_error=self.last_error,
        )
