"""How many requests each client may make: a bucket of tokens that refills all the time."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import Final

MINUTE_MS: Final = 60_000
MAX_CLIENTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is allowed, and what its client may be told."""

    is_allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int


class Allowance:
    """``per_minute`` requests a minute for each client, all at once or spread.

    Of more than 100,000 clients the one that was silent for longest is forgotten, as if it had
    never asked.

    >>> allowance = Allowance(per_minute=2)
    >>> [allowance.spend("ip", now_ms=0).is_allowed for _ in range(3)]
    [True, True, False]
    >>> allowance.spend("ip", now_ms=30_000).is_allowed
    True
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._clients: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def spend(self, client: str, *, now_ms: int) -> Verdict:
        """Take a token of ``client`` if it has one."""
        tokens, then_ms = self._clients.get(client, (float(self.per_minute), now_ms))
        refill = max(0, now_ms - then_ms) * self.per_minute / MINUTE_MS
        tokens = min(float(self.per_minute), tokens + refill)
        is_allowed = tokens >= 1
        if is_allowed:
            tokens -= 1
        self._clients[client] = (tokens, now_ms)
        self._clients.move_to_end(client)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        per_token_s = 60 / self.per_minute
        return Verdict(
            is_allowed=is_allowed,
            limit=self.per_minute,
            remaining=int(tokens),
            reset_s=ceil((self.per_minute - tokens) * per_token_s),
            retry_after_s=max(1, ceil((1 - tokens) * per_token_s)),
        )
