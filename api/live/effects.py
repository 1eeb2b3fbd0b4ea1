"""What the hub asks a socket adapter to do, and every way in which a connection ends.

=====  ==========  =============================================================
code   reconnect   when
=====  ==========  =============================================================
1003   no          a binary frame came; the protocol is text
1007   no          a text frame is not UTF-8
1008   no          the origin is not allowed
1009   no          a frame from the client is larger than 64 KiB
1013   yes         the server has too many connections, try later
3001   yes         the server shuts down; ``goaway`` came before
3008   yes         the client reads too slowly; ``slow`` came before
3012   yes         nothing came from the client, not even a pong, in time
3013   yes         more than 5 messages a second, after a burst of 20
3501   no          a frame is not JSON
=====  ==========  =============================================================

In general 3000 to 3499 mean: connect again and resume; 3500 to 3999: the same would happen again.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Send:
    """Write one text frame now, writable or not, before anything the next flush returns."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """Bring up to ``count`` entries of ``channel`` from the store into the state.

    Then call ``Session.on_loaded``, also when that failed: the answer waits for it.
    """

    channel: str
    count: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Write a ping frame."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; the hub has already forgotten the session.

    >>> SLOW.may_reconnect, BAD_REQUEST.may_reconnect
    (True, False)
    """

    code: int
    reason: str

    @property
    def may_reconnect(self) -> bool:
        """Return whether a client should connect again by itself."""
        return self.code == 1013 or 3000 <= self.code < 3500


Effect = Send | Load | Ping | Close

BINARY: Final = Close(1003, "text frames only")
NOT_UTF8: Final = Close(1007, "not UTF-8")
POLICY: Final = Close(1008, "origin not allowed")
TOO_BIG: Final = Close(1009, "message too big")
TRY_LATER: Final = Close(1013, "too many connections")
SHUTDOWN: Final = Close(3001, "shutdown")
SLOW: Final = Close(3008, "slow")
NO_PONG: Final = Close(3012, "no pong")
TOO_FAST: Final = Close(3013, "too many messages")
BAD_REQUEST: Final = Close(3501, "not JSON")

CLOSES: Final = (
    BINARY,
    NOT_UTF8,
    POLICY,
    TOO_BIG,
    TRY_LATER,
    SHUTDOWN,
    SLOW,
    NO_PONG,
    TOO_FAST,
    BAD_REQUEST,
)
