"""The port of stores that keep anomalies, and which of many are worth writing."""

from collections.abc import Sequence
from typing import Final, Protocol

from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.records import Market

KEPT: Final = 10_000  # of a market
NEWEST: Final = 1_000  # of all markets together


class AnomalyStore(Protocol):
    """A place where anomalies are kept and read back.

    An anomaly is identified by its market and ``place``, its time and id; the last one written
    wins. Of a market the newest 10,000 are kept at least.

    Every method raises ``RetryableError`` while the store is down, and ``FatalError`` when
    waiting will not help.
    """

    async def write_anomalies(self, batches: Sequence[AnomalyBatch]) -> None:
        """Store all of them or raise; safe to call again with the same ones."""
        ...

    async def anomalies(
        self,
        market: Market,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
    ) -> list[Anomaly]:
        """Return the anomalies whose place is in ``[start, end)``, sorted by it.

        ``limit`` keeps the earliest ones when there is a ``start``, else the latest.
        """
        ...

    async def newest_anomalies(self) -> list[Anomaly]:
        """Return the newest 1,000 anomalies of all markets, sorted by their place."""
        ...


def last_forms(batches: Sequence[AnomalyBatch]) -> list[Anomaly]:
    """Return the last form of each anomaly."""
    found: dict[tuple[Market, int], Anomaly] = {}
    for one in (one for batch in batches for one in batch.anomalies):
        found[one.market, one.place] = one
    return list(found.values())
