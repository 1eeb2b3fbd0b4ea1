"""Who is to be sent what."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chaintide.api.live.history import History

if TYPE_CHECKING:
    from chaintide.api.live.requests import Policy
    from chaintide.api.live.session import Session


@dataclass(slots=True, eq=False)
class Fanout:
    """One channel: its name, its history, and all who are subscribed to it."""

    name: str
    history: History
    subscriptions: dict["Subscription", None] = field(default_factory=dict["Subscription", None])


@dataclass(slots=True, eq=False)
class Subscription:
    """The place ``seq`` in a channel up to which one session has been sent everything.

    There is no queue: what is still to be sent is what the history has after it. So a client
    that does not read costs nothing, and catches up from there when it reads again.

    ``interval_ms`` divides time into cells in each of which it is served once; as everybody's
    cells begin together, those with the same rate share what is built for them.
    """

    session: "Session"
    fanout: Fanout
    seq: int
    is_buffer: bool
    snapshot_count: int
    interval_ms: int
    due_ms: int = 0

    @property
    def policy(self) -> "Policy":
        """Return what is left out when there is much to send."""
        return "buffer" if self.is_buffer else "latest"

    @property
    def max_hz(self) -> float | None:
        """Return how often it is served at most."""
        return 1_000 / self.interval_ms if self.interval_ms else None


def interval_of(max_hz: float | None) -> int:
    """Return the length of the cells for a rate; 0 for no limit.

    >>> interval_of(4), interval_of(3), interval_of(None)
    (250, 334, 0)
    """
    return 0 if max_hz is None else math.ceil(1_000 / max_hz)
