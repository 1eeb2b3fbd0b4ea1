"""What is said of anomalies on topics: what was unlike before, and why."""

from typing import Final, Literal
from zlib import crc32

import msgspec

from chaintide.streams.records import SCHEMA_VERSION, Market

Feature = Literal["size", "pace", "impact", "newness", "combination"]
AnomalyStatus = Literal["raised", "withdrawn"]
METHODOLOGY: Final = "tails of each feature by market, fitted online; alarms held to a budget"
_PLACES: Final = 1_000


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was strange: its ``value`` beside the ``usual`` one, and both in words."""

    feature: Feature
    value: float
    usual: float
    words: str


class Anomaly(msgspec.Struct, frozen=True, kw_only=True, tag="anomaly"):
    """Trades, or events of a contract, that are unlike those before them.

    ``score`` is 0.5 if one so strange a day is usual, and 0.99 if one in about a hundred days;
    the strangest reason comes first and gives ``kind``. What grows within half a minute is told
    again under its id. ``event`` is the name of a log's event, null for trades; a trade has its
    ``trade_id``, a log its ``log``. It is ``withdrawn`` once its chain has replaced its ``block``.
    """

    anomaly_id: str
    market: Market
    event: str | None
    time_us: int
    kind: Feature
    score: float
    reasons: list[Reason]
    trade_id: int | None
    log: str | None
    block: int | None
    address: str | None
    status: AnomalyStatus
    methodology: str
    v: int = SCHEMA_VERSION

    @property
    def place(self) -> int:
        """Return where it stands among those of its market: its time, then its id."""
        return self.time_us * _PLACES + crc32(self.anomaly_id.encode()) % _PLACES


class AnomalyBatch(msgspec.Struct, frozen=True, kw_only=True, tag="anomalies"):
    """The anomalies of one market that one step of the agent raised, grew or withdrew.

    ``generation`` and ``offset`` say which owner of the partition wrote it after which input.
    """

    market: Market
    generation: int
    offset: int
    anomalies: list[Anomaly]
    v: int = SCHEMA_VERSION
