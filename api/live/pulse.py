"""Whether a peer still lives, and when the silence must be broken."""

from dataclasses import dataclass
from typing import Final

PING_MS: Final = 30_000
PONG_MS: Final = 5_000
SILENCE_MS: Final = 15_000


@dataclass(slots=True)
class Pulse:
    """The signs of life of one peer.

    A ping goes out every 24 to 30 s; ``jitter`` between 0 and 1 spreads them. If within 5 s of
    it no byte comes from the peer, be it a pong or not, the peer is dead.

    Its clock stands still while our own event loop does (time less all lag there was): a stall
    here must not drop those who answered meanwhile.

    >>> pulse = Pulse(ping_ms=24_000)
    >>> pulse.on_ping(clock_ms=24_000, jitter=0.5)
    >>> pulse.ping_ms, pulse.is_dead(clock_ms=28_999), pulse.is_dead(clock_ms=29_000)
    (51000, False, True)
    >>> pulse.on_sign()
    >>> pulse.is_dead(clock_ms=29_000)
    False
    """

    ping_ms: int
    _deadline_ms: int | None = None

    def on_sign(self) -> None:
        """Note that something came."""
        self._deadline_ms = None

    def on_ping(self, *, clock_ms: int, jitter: float) -> None:
        """Note that a ping goes out, and wait for an answer."""
        self._deadline_ms = clock_ms + PONG_MS
        self.ping_ms = clock_ms + ping_after_ms(jitter)

    def is_ping_due(self, *, clock_ms: int) -> bool:
        """Return whether to send a ping."""
        return clock_ms >= self.ping_ms

    def is_dead(self, *, clock_ms: int) -> bool:
        """Return whether the answer to the last ping is overdue."""
        return self._deadline_ms is not None and clock_ms >= self._deadline_ms


def ping_after_ms(jitter: float) -> int:
    """Return how long after one ping the next goes out.

    >>> ping_after_ms(0.0), ping_after_ms(1.0)
    (24000, 30000)
    """
    return int(PING_MS * (0.8 + 0.2 * jitter))
