"""A switch that stops calls to a venue that keeps failing."""

from dataclasses import dataclass
from typing import Final

from chaintide.streams.records import BreakerState

_FAILURES: Final = 5
_OPEN_MS: Final = 30_000


@dataclass(slots=True)
class Breaker:
    """Closed while calls succeed; open after five failures in a row; then one call may try.

    >>> breaker = Breaker()
    >>> for _ in range(5):
    ...     breaker.on_failure(now_ms=0)
    >>> breaker.allows(now_ms=29_999), breaker.allows(now_ms=30_000), breaker.allows(now_ms=30_000)
    (False, True, False)
    """

    _failures: int = 0
    _opened_ms: int | None = None
    _is_probing: bool = False

    def allows(self, *, now_ms: int) -> bool:
        """Return whether a call may be made; when half-open this admits exactly one."""
        state = self.state(now_ms=now_ms)
        if state == "half-open" and not self._is_probing:
            self._is_probing = True
            return True
        return state == "closed"

    def on_success(self) -> None:
        """Close: the venue answers."""
        self._failures, self._opened_ms, self._is_probing = 0, None, False

    def on_failure(self, *, now_ms: int) -> None:
        """Count a failure; the fifth in a row, or a failed probe, opens."""
        self._failures += 1
        self._is_probing = False
        if self._failures >= _FAILURES:
            self._opened_ms = now_ms

    def state(self, *, now_ms: int) -> BreakerState:
        """Return how things stand at ``now_ms``."""
        if self._opened_ms is None:
            return "closed"
        return "half-open" if now_ms - self._opened_ms >= _OPEN_MS else "open"
