"""The newest anomalies of all markets, in the form they were told last."""

from bisect import insort
from collections.abc import Sequence
from typing import Final

import msgspec

from chaintide.api.live.update import Update
from chaintide.api.state.overlay import PLACES, seq_of
from chaintide.streams import codec
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.records import Market

KEPT: Final = 100  # of a market
MAX_MARKETS: Final = 20_000
_batches: Final = msgspec.json.Decoder(AnomalyBatch)


class Anomalies:
    """The last hundred of each market; beyond 20,000 markets, new ones are not known.

    A batch of a lower generation than an earlier one of its market is from an owner that was
    replaced, and changes nothing. Trades and events of a contract have owners of their own.
    """

    def __init__(self) -> None:
        self._told: dict[Market, dict[int, Anomaly]] = {}
        self._places: dict[Market, list[int]] = {}
        self._generations: dict[tuple[Market, bool], int] = {}

    def __contains__(self, market: str) -> bool:
        return market in self._told

    def on_value(self, value: bytes, *, offset: int, published_ms: int) -> list[Update]:
        """Take a record of the topic, and return what is to be told of it."""
        batch = codec.decode(_batches, value)
        owner = (batch.market, all(one.event is None for one in batch.anomalies))
        if batch.generation < self._generations.get(owner, 0):
            return []
        self._generations[owner] = batch.generation
        return [
            Update(
                channel=f"anomalies:{one.market}",
                seq=seq_of(offset, place),
                key=one.anomaly_id,
                type="update",
                event_ms=one.time_us // 1000,
                published_ms=published_ms,
                data=codec.encode(one),
            )
            for place, one in enumerate(batch.anomalies[-PLACES:])
            if self.on_anomaly(one)
        ]

    def on_anomaly(self, one: Anomaly) -> bool:
        """Take an anomaly, and return whether it is news."""
        if one.market not in self._told and len(self._told) >= MAX_MARKETS:
            return False
        told = self._told.setdefault(one.market, {})
        places = self._places.setdefault(one.market, [])
        if told.get(one.place) == one:
            return False
        if one.place not in told:
            insort(places, one.place)
        told[one.place] = one
        if len(places) > KEPT:
            del told[places.pop(0)]
        return True

    def newest(self, market: Market, count: int) -> list[Anomaly]:
        """Return the newest anomalies of a market, the oldest of them first."""
        told, places = self._told.get(market, {}), self._places.get(market, [])
        return [told[place] for place in places[max(0, len(places) - count) :]]

    def over(
        self, market: Market, stored: Sequence[Anomaly], start: int | None, end: int | None
    ) -> list[Anomaly]:
        """Return what a store has of ``[start, end)``, under newer forms and newer ones."""
        forms = {one.place: one for one in stored}
        forms |= {
            place: one
            for place, one in self._told.get(market, {}).items()
            if (start is None or start <= place) and (end is None or place < end)
        }
        return [forms[place] for place in sorted(forms)]
