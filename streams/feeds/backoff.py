"""How long to wait before trying again."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Waits that double up to a cap, each drawn from its upper half so that crowds disperse."""

    first_s: float = 0.5
    cap_s: float = 30.0
    failures: int = 0

    def next_s(self, random: Callable[[], float]) -> float:
        """Return the next wait; ``random`` draws from [0, 1).

        >>> backoff = Backoff()
        >>> [backoff.next_s(lambda: 0.5) for _ in range(4)]
        [0.375, 0.75, 1.5, 3.0]
        """
        limit_s = min(self.cap_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return limit_s * (0.5 + 0.5 * random())

    def reset(self) -> None:
        """Start again from the shortest wait, after a success."""
        self.failures = 0
