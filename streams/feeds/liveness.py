"""Whether a socket still lives, whatever its symbols do."""

from dataclasses import dataclass
from typing import Final

_SILENCE_MS: Final = 8_000


@dataclass(slots=True)
class Liveness:
    """The last sign of life of one socket: any message, heartbeat or pong.

    A quiet symbol gives no alarm, because heartbeats or pongs go on. Looked at once a second,
    8 s of silence are noticed within 10.

    >>> Liveness(seen_ms=0).is_silent(now_ms=7_999), Liveness(seen_ms=0).is_silent(now_ms=8_000)
    (False, True)
    """

    seen_ms: int

    def on_sign(self, *, now_ms: int) -> None:
        """Note a sign of life."""
        self.seen_ms = max(self.seen_ms, now_ms)

    def is_silent(self, *, now_ms: int) -> bool:
        """Return whether the socket must be taken for frozen."""
        return now_ms - self.seen_ms >= _SILENCE_MS
