"""Who goes first when both have something to do."""

from dataclasses import dataclass
from typing import Final

LATELY_S: Final = 0.03
MOST_S: Final = 0.2
PERIOD_S: Final = 1.0


@dataclass(slots=True)
class Precedence:
    """Lets what is urgent go first while it comes, for at most 0.2 s of every second.

    >>> precedence = Precedence()
    >>> precedence.on_urgent(now_s=5.0)
    >>> round(precedence.wait_s(now_s=5.01), 2), precedence.wait_s(now_s=5.03)
    (0.02, 0.0)
    """

    _urgent_s: float = float("-inf")
    _period_s: float = float("-inf")
    _given_s: float = 0.0

    def on_urgent(self, *, now_s: float) -> None:
        """Note that something urgent was done."""
        self._urgent_s = now_s

    def wait_s(self, *, now_s: float) -> float:
        """Return for how long the rest gives way, and count that as given."""
        if now_s - self._period_s >= PERIOD_S:
            self._period_s, self._given_s = now_s, 0.0
        wait_s = min(self._urgent_s + LATELY_S - now_s, MOST_S - self._given_s)
        if wait_s <= 0.0:
            return 0.0
        self._given_s += wait_s
        return wait_s
