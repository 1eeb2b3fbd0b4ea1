"""Who may connect: allowed origins, and how many connections there can be."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from chaintide.api.live.effects import POLICY, TRY_LATER, Close

ANY = "*"


@dataclass(slots=True)
class Admission:
    """The door of one process, which counts who is in.

    Programs send no ``Origin`` and are let in; a browser's must be the page's own host or one of
    ``origins``. ``per_address`` bounds the connections of one address, ``total`` those of all.

    Nobody is let in while it is not open.

    >>> admission = Admission(origins=["https://desk.example"], per_address=1)
    >>> admission.admit("192.0.2.1", origin="https://elsewhere.example", host="feed.example").code
    1008
    >>> admission.admit("192.0.2.1", origin="https://desk.example", host="feed.example")
    >>> admission.admit("192.0.2.1", origin=None, host="feed.example").code
    1013
    >>> admission.release("192.0.2.1")
    >>> admission.admit("192.0.2.1", origin=None, host="feed.example")
    """

    origins: Sequence[str] = ()
    per_address: int = 20
    total: int = 20_000
    is_open: bool = True
    _inside: Counter[str] = field(default_factory=Counter[str])
    _count: int = 0

    def admit(self, address: str, *, origin: str | None, host: str | None) -> Close | None:
        """Count a connection in and return None, or return why it must be closed."""
        if not self._is_allowed(origin, host):
            return POLICY
        if not self.is_open or self._is_full(address):
            return TRY_LATER
        self._inside[address] += 1
        self._count += 1
        return None

    def release(self, address: str) -> None:
        """Count a connection out that was let in."""
        self._count -= 1
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]

    def _is_full(self, address: str) -> bool:
        return self._inside[address] >= self.per_address or self._count >= self.total

    def _is_allowed(self, origin: str | None, host: str | None) -> bool:
        if origin is None or ANY in self.origins or origin in self.origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == (host or "").lower()
        except ValueError:  # as of "http://[": it is no origin
            return False
