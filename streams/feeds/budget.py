"""How many REST calls a venue allows."""

import math
from dataclasses import dataclass
from typing import Final

_BURST: Final = 5


@dataclass(slots=True)
class Budget:
    """A bucket of calls, refilled evenly; a venue's Retry-After empties it for that long.

    >>> budget = Budget(per_minute=60)
    >>> [budget.spend(now_ms=0) for _ in range(6)]
    [0, 0, 0, 0, 0, 1000]
    >>> budget.on_retry_after(20.0, now_ms=500)
    >>> budget.spend(now_ms=1000)
    19500
    """

    per_minute: int
    _ready_ms: float = -math.inf

    def spend(self, *, now_ms: int) -> int:
        """Spend one call and return how many ms to wait before making it."""
        interval_ms = 60_000 / self.per_minute
        ready_ms = max(self._ready_ms, now_ms - (_BURST - 1) * interval_ms)
        self._ready_ms = ready_ms + interval_ms
        return max(0, math.ceil(ready_ms - now_ms))

    def on_retry_after(self, seconds: float, *, now_ms: int) -> None:
        """Make no call before ``seconds`` have passed: the venue said so."""
        self._ready_ms = max(self._ready_ms, now_ms + seconds * 1000)
