"""Several endpoints of one chain: which to ask, and which to leave alone for a while."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from chaintide.streams.chain.ranges import is_too_large
from chaintide.streams.feeds.breaker import Breaker

Complaint = Literal["too large", "unknown method", "reverted", "refused", "elsewhere"]
LACKING_MS: Final = 600_000
_UNKNOWN_METHOD: Final = (-32601, -32004)
_REFUSED: Final = (-32600, -32602, -39001)  # no request, wrong parameters, no such block
_REVERTED: Final = (3, -32015)
_NO_METHOD: Final = re.compile(
    r"(un|not )supported|method not (found|available)|does not exist/is not available|whitelist",
    re.IGNORECASE,
)
_NO_RESULT: Final = re.compile(
    r"revert|invalid (opcode|jump)|out of gas|stack (under|over)flow|bad instruction"
    r"|vm execution error|write protection",
    re.IGNORECASE,
)


def complaint_of(code: int, message: str) -> Complaint:
    """Return what to do about an error of a node: ask for less, differently, or elsewhere.

    Only what is known to be no fault of the node is not asked elsewhere.

    >>> complaint_of(-32005, "query returned more than 10000 results")
    'too large'
    >>> complaint_of(-32005, "daily request limit reached"), complaint_of(-32601, "no such method")
    ('elsewhere', 'unknown method')
    >>> complaint_of(3, "execution reverted"), complaint_of(-32016, "over rate limit")
    ('reverted', 'elsewhere')
    """
    if code in _REVERTED or _NO_RESULT.search(message):
        return "reverted"
    if is_too_large(message):
        return "too large"
    if code in _UNKNOWN_METHOD or _NO_METHOD.search(message):
        return "unknown method"
    return "refused" if code in _REFUSED else "elsewhere"


@dataclass(slots=True)
class Endpoint:
    """One node; ``is_checked`` once it has said that it is of the right chain.

    ``outages`` are how often it failed; calls that were out at the same time failed once. What it
    says it does not know it is asked for again after ten minutes.
    """

    url: str
    breaker: Breaker = field(default_factory=Breaker)
    is_checked: bool = False
    is_foreign: bool = False
    outages: int = 0
    _lacking: dict[str, int] = field(default_factory=dict[str, int])  # until when, by what

    def lacks(self, what: str, *, now_ms: int) -> bool:
        """Return whether it said a short while ago that it does not know ``what``."""
        return now_ms < self._lacking.get(what, now_ms)

    def on_lack(self, what: str, *, now_ms: int) -> None:
        """Take note that it does not know ``what``."""
        self._lacking[what] = now_ms + LACKING_MS


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

    @property
    def first(self) -> Endpoint:
        """The preferred one."""
        return self.all[self._first]

    def rotate(self) -> None:
        """Prefer the next one from now on."""
        self._first = (self._first + 1) % len(self.all)

    def on_failure(self, endpoint: Endpoint, outages: int, *, now_ms: int) -> None:
        """Count a failure of ``endpoint``: prefer another, and ask it for its chain again.

        Not if it has failed since the call began, when there had been so many ``outages``.
        """
        if endpoint.outages != outages:
            return
        endpoint.outages += 1
        endpoint.breaker.on_failure(now_ms=now_ms)
        endpoint.is_checked = False
        if self.first is endpoint:
            self.rotate()
