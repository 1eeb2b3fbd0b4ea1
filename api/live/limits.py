"""How much a client may ask for and how much is kept for it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of the hub; what happens at each is said where it is checked.

    ``history_updates`` and ``history_bytes`` hold for one channel, ``total_bytes`` for the
    histories of all, as far as nobody is subscribed to them, ``unread_bytes`` for the
    answers to one client that does not read. A flush cuts what it sends of one channel to one
    client after ``part_bytes``, and after a part of ``heavy_bytes`` sends that client no more.
    """

    channels: int = 128
    request_items: int = 10_000
    message_bytes: int = 65_536
    messages_per_s: float = 5
    burst: int = 20
    history_updates: int = 1_000
    history_bytes: int = 1_048_576
    total_bytes: int = 134_217_728
    unread_bytes: int = 1_048_576
    part_bytes: int = 262_144
    heavy_bytes: int = 4_096


@dataclass(slots=True)
class Allowance:
    """A bucket of ``burst`` messages that refills evenly.

    >>> allowance = Allowance(per_s=5, burst=2)
    >>> [allowance.take(now_ms=now_ms) for now_ms in (0, 0, 199, 200)]
    [True, True, False, True]
    """

    per_s: float
    burst: int
    _ready_ms: float = -math.inf

    def take(self, *, now_ms: int) -> bool:
        """Take one message out and return whether there was one."""
        interval_ms = 1_000 / self.per_s
        ready_ms = max(self._ready_ms, now_ms - (self.burst - 1) * interval_ms)
        if ready_ms > now_ms:
            return False
        self._ready_ms = ready_ms + interval_ms
        return True
