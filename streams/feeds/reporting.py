"""How the feeds are doing, written where other processes can read it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from chaintide.streams import codec
from chaintide.streams.ending import end_if_told
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import FeedReport
from chaintide.streams.topics import FEEDS

LOOK_S: Final = 0.2
EVERY_MS: Final = 1_000
PARTITION: Final = 0  # all in one, so that reports have one order


def is_news(last: FeedReport | None, report: FeedReport) -> bool:
    """Return whether ``report`` must be written: a second has passed, or something changed.

    Counts of what flows all the time, and ages, are no changes.
    """
    if last is None or report.time_ms - last.time_ms >= EVERY_MS:
        return True
    return _notable(last) != _notable(report)


def _notable(report: FeedReport) -> tuple[object, ...]:
    return (
        report.state,
        report.breaker,
        report.connects,
        report.refusals,
        report.gaps,
        report.last_error,
        report.markets,
    )


@dataclass(slots=True)
class FeedReporting:
    """Writes a report of each feed at least every second, at most five a second.

    While Kafka has not taken a report of a feed, no other one is written of it, so reports
    never pile up in front of trades. One that cannot be written is left out.
    """

    producer: AIOKafkaProducer
    statuses: Mapping[str, FeedStatus]
    now_ms: Callable[[], int]
    _last: dict[str, FeedReport] = field(default_factory=dict[str, FeedReport])
    _unsent: dict[str, "asyncio.Future[Any]"] = field(
        default_factory=dict[str, "asyncio.Future[Any]"]
    )

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            end_if_told()
            for venue, status in list(self.statuses.items()):
                await self._report(venue, status.report(now_ms=self.now_ms()))
            await asyncio.sleep(LOOK_S)

    async def _report(self, venue: str, report: FeedReport) -> None:
        unsent = self._unsent.get(venue)
        if (unsent is not None and not unsent.done()) or not is_news(self._last.get(venue), report):
            return
        try:
            self._unsent[venue] = sent = await self.producer.send(
                FEEDS.name, codec.encode(report), key=venue.encode(), partition=PARTITION
            )
        except KafkaError:
            return  # trades meet the same fault, and theirs is raised
        sent.add_done_callback(_look)
        self._last[venue] = report


def _look(sent: "asyncio.Future[Any]") -> None:
    """Take note of a failure, which asyncio would else report."""
    if not sent.cancelled():
        sent.exception()
