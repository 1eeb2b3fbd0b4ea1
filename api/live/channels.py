"""The names of channels: ``kind:subject[:param]``."""

import re
from dataclasses import dataclass
from typing import Final

from chaintide.streams.codec import MARKET
from chaintide.streams.intervals import INTERVALS

_MARKET: Final = f"(?P<subject>{MARKET.pattern})"
_INTERVAL: Final = rf"(?P<param>{'|'.join(INTERVALS)})"


@dataclass(frozen=True, slots=True)
class Kind:
    """How the names of one kind of channel look, and what a snapshot nobody counted holds."""

    pattern: re.Pattern[str]
    shape: str
    default_count: int


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel by the parts of its name; ``subject`` is a market in all kinds but ``status``."""

    kind: str
    subject: str = ""
    param: str = ""

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind, self.subject, self.param) if part)


# A new kind is a new line here.
KINDS: Final[dict[str, Kind]] = {
    "trades": Kind(re.compile(_MARKET, re.ASCII), "trades:<market>", 100),
    "ticker": Kind(re.compile(_MARKET, re.ASCII), "ticker:<market>", 1),
    "candles": Kind(
        re.compile(f"{_MARKET}:{_INTERVAL}", re.ASCII), "candles:<market>:<interval>", 100
    ),
    "prob": Kind(re.compile(f"{_MARKET}:{_INTERVAL}", re.ASCII), "prob:<market>:<interval>", 48),
    "views": Kind(re.compile(_MARKET, re.ASCII), "views:<market>", 1),
    "anomalies": Kind(re.compile(_MARKET, re.ASCII), "anomalies:<market>", 50),
    "status": Kind(re.compile(""), "status", 100),
}


def parse_channel(name: str) -> Channel | None:
    """Return the channel of that name, or None if no kind of channel is named so.

    >>> parse_channel("candles:kraken:BTC-USD:1m")
    Channel(kind='candles', subject='kraken:BTC-USD', param='1m')
    >>> parse_channel("candles:kraken:BTC-USD:7m") is parse_channel("status:x") is None
    True
    """
    kind, _, rest = name.partition(":")
    if kind not in KINDS or name == f"{kind}:":
        return None
    match = KINDS[kind].pattern.fullmatch(rest)
    return None if match is None else Channel(kind, **match.groupdict())
