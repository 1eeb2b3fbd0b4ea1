"""Several endpoints of one chain: which to ask, and which to leave alone for a while."""

from dataclasses import dataclass, field
from typing import Final, Literal

from chaintide.streams.chain.ranges import is_too_large
from chaintide.streams.feeds.breaker import Breaker

Complaint = Literal["too large", "unknown method", "elsewhere", "refused"]
_UNKNOWN_METHOD: Final = (-32601, -32004)
_TOO_OFTEN: Final = (-32005, -32029, 429)
_INTERNAL: Final = (-32603, -32000, -32001, -32002)


def complaint_of(code: int, message: str) -> Complaint:
    """Return what to do about an error of a node: ask for less, differently, or elsewhere.

    >>> complaint_of(-32005, "query returned more than 10000 results")
    'too large'
    >>> complaint_of(-32005, "daily request limit reached"), complaint_of(-32601, "no such method")
    ('elsewhere', 'unknown method')
    """
    if is_too_large(message):
        return "too large"
    if "revert" in message:
        return "refused"
    if code in _UNKNOWN_METHOD or "does not exist/is not available" in message:
        return "unknown method"
    return "elsewhere" if code in _TOO_OFTEN or code in _INTERNAL else "refused"


@dataclass(slots=True)
class Endpoint:
    """One node; ``is_checked`` once it has said that it is of the right chain."""

    url: str
    breaker: Breaker = field(default_factory=Breaker)
    is_checked: bool = False
    is_foreign: bool = False


@dataclass(slots=True)
class Endpoints:
    """The endpoints of a chain; the first that works is asked until it fails.

    >>> endpoints = Endpoints([Endpoint("a"), Endpoint("b")])
    >>> [one.url for one in endpoints.order(now_ms=0)]
    ['a', 'b']
    >>> endpoints.rotate()
    >>> [one.url for one in endpoints.order(now_ms=0)]
    ['b', 'a']
    """

    all: list[Endpoint]
    _first: int = 0

    def order(self, *, now_ms: int) -> list[Endpoint]:
        """Return those that may be asked now, the preferred one first."""
        turned = self.all[self._first :] + self.all[: self._first]
        return [
            one
            for one in turned
            if not one.is_foreign and one.breaker.state(now_ms=now_ms) != "open"
        ]

    def rotate(self) -> None:
        """Prefer the next one from now on."""
        self._first = (self._first + 1) % len(self.all)

    def on_failure(self, endpoint: Endpoint, *, now_ms: int) -> None:
        """Count a failure of ``endpoint``: prefer another, and ask it for its chain again."""
        endpoint.breaker.on_failure(now_ms=now_ms)
        endpoint.is_checked = False
        if self.all[self._first] is endpoint:
            self.rotate()
