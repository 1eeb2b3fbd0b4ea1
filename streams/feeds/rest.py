"""REST calls to one venue, within its budget and behind its breaker."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import aiohttp

from chaintide.streams.errors import BadRecordError, RetryableError
from chaintide.streams.feeds.adapter import Request
from chaintide.streams.feeds.breaker import Breaker
from chaintide.streams.feeds.budget import Budget

_BUSY: Final = (418, 425, 429)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


class Rest(Protocol):
    """A way to get what a venue answers."""

    async def get(self, request: Request) -> bytes:
        """Return the answer; BadRecordError: refused; RetryableError: ask again later."""
        ...


@dataclass(slots=True)
class HttpRest:
    """Waits for the venue's budget, then calls; honours ``Retry-After``."""

    session: aiohttp.ClientSession
    base_url: str
    budget: Budget
    breaker: Breaker
    now_ms: Callable[[], int]
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    async def get(self, request: Request) -> bytes:
        """Return the body of a successful answer.

        Raises:
            BadRecordError: If the venue refuses this request for good.
            RetryableError: If the venue is busy, broken, unreachable, or known to be so.
        """
        if not self.breaker.allows(now_ms=self.now_ms()):
            raise RetryableError("circuit breaker is open", retry_after_s=5.0)
        await asyncio.sleep(self.budget.spend(now_ms=self.now_ms()) / 1000)
        try:
            status, retry_after_s, body = await self._call(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.breaker.on_failure(now_ms=self.now_ms())
            raise RetryableError(f"no answer: {error!r}") from error
        if status in _BUSY:
            self.budget.on_retry_after(retry_after_s, now_ms=self.now_ms())
        if status in _BUSY or status >= 500:
            self.breaker.on_failure(now_ms=self.now_ms())
            raise RetryableError(f"HTTP {status}", retry_after_s=retry_after_s)
        self.breaker.on_success()
        if status != 200:
            raise BadRecordError(f"HTTP {status}: {body[:200].decode(errors='replace')}")
        return body

    async def _call(self, request: Request) -> tuple[int, float, bytes]:
        url = self.base_url + request.path
        async with self.session.get(
            url, params=request.params, headers=self.headers, timeout=_TIMEOUT
        ) as response:
            given = response.headers.get("Retry-After", "")
            wait_s = retry_after_s(given, now_ms=self.now_ms())
            return response.status, wait_s, await response.read()


def retry_after_s(header: str, *, now_ms: int) -> float:
    """Return how long a ``Retry-After`` asks to wait, in either of its forms; 1 s if absent.

    >>> retry_after_s("20", now_ms=0)
    20.0
    >>> retry_after_s("Thu, 01 Jan 1970 00:00:09 GMT", now_ms=2_000)
    7.0
    """
    if header.isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_ms / 1000)
    except ValueError:
        return 1.0
