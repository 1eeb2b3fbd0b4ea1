"""The port every venue implements: requests out, venue messages in, all of it pure."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec

from chaintide.streams import decimals
from chaintide.streams.errors import BadRecordError, ConfigError
from chaintide.streams.records import Market

_MAX_ID: Final = 2**63
_MAX_TIME_US: Final = 10**16  # the year 2286
TakerSide = Literal["b", "s"]


class VenueTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as a venue reports it; its numbers are ``(n, scale)`` pairs.

    Raises:
        BadRecordError: If no such trade can exist.
    """

    symbol: str
    id: int
    time_us: int
    price: tuple[int, int]
    size: tuple[int, int]
    side: TakerSide

    def __post_init__(self) -> None:
        if self.price[0] <= 0 or self.size[0] <= 0:
            raise BadRecordError(f"price or size of trade {self.id} is not > 0")
        if not 0 <= self.id < _MAX_ID or not 0 <= self.time_us <= _MAX_TIME_US:
            raise BadRecordError(f"id or time of trade {self.id} is out of range")


@dataclass(frozen=True, slots=True)
class Ack:
    """The venue now streams these symbols; None stands for all that were asked for."""

    symbols: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue will not do what was asked."""

    reason: str


VenueMessage = VenueTrade | Ack | Refusal


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the trades of one market: its trade id and the newest event time up to it."""

    id: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Request:
    """One GET, relative to the REST address of the venue."""

    path: str
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Every trade there is from the requested mark on, up to the length of a page."""

    trades: list[VenueTrade]
    is_full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """What the shell must know of a venue before it can talk to it.

    ``max_age_s`` is when a socket is replaced because the venue would soon close it.
    A venue without heartbeats is pinged instead.
    """

    name: str
    ws_url: str
    rest_url: str
    rest_per_minute: int
    has_heartbeats: bool = True
    max_age_s: float | None = None


class Adapter(Protocol):
    """The language of one venue. Trade ids count up by one per market."""

    venue: Venue

    def symbol(self, market: Market) -> str:
        """Return the venue's own name of ``market``."""
        ...

    def subscribe(self, markets: list[Market]) -> list[str]:
        """Return the messages that ask for the trades of ``markets``."""
        ...

    def parse(self, payload: bytes) -> list[VenueMessage]:
        """Return what one message says; heartbeats and other channels say nothing.

        Raises:
            BadRecordError: If it cannot be understood, and no other error.
        """
        ...

    def backfill_request(self, market: Market, after: Mark) -> Request:
        """Return the request for the oldest page of trades after ``after``."""
        ...

    def parse_backfill(self, market: Market, payload: bytes) -> Page:
        """Return the page in the venue's answer.

        Raises:
            BadRecordError: If the venue refuses or its answer cannot be understood.
            RetryableError: If the venue says that it is busy.
        """
        ...


def assets(market: Market) -> tuple[str, str]:
    """Return base and quote of ``venue:BASE-QUOTE``.

    >>> assets(Market("kraken:BTC-USD"))
    ('BTC', 'USD')

    Raises:
        ConfigError: If ``market`` does not look like that.
    """
    base, dash, quote = market.partition(":")[2].rpartition("-")
    if not (dash and base and quote):
        raise ConfigError(f"market {market!r}: write venue:BASE-QUOTE, as in kraken:BTC-USD")
    return base, quote


def raw_number(raw: msgspec.Raw) -> tuple[int, int]:
    """Return a JSON number exactly as it was written, without a binary float in between.

    >>> raw_number(msgspec.Raw(b"105944.20"))
    (1059442, 1)

    Raises:
        BadRecordError: If it is no number.
    """
    return decimals.parse(bytes(raw).decode("ascii", "replace"))
