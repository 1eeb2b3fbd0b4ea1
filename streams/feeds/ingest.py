"""Every configured feed, into Kafka, until it is told to stop."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiokafka import AIOKafkaProducer

from chaintide.streams.errors import ConfigError
from chaintide.streams.feeds import coingecko
from chaintide.streams.feeds.adapter import Adapter, Mark, Venue, assets
from chaintide.streams.feeds.binance import Binance
from chaintide.streams.feeds.budget import Budget
from chaintide.streams.feeds.coinbase import ADVANCED, Coinbase
from chaintide.streams.feeds.kraken import Kraken
from chaintide.streams.feeds.outbox import KafkaOutbox
from chaintide.streams.feeds.poll import Poll
from chaintide.streams.feeds.reporting import FeedReporting
from chaintide.streams.feeds.rest import HttpRest
from chaintide.streams.feeds.resume import read_marks
from chaintide.streams.feeds.sequence import SequenceLogic
from chaintide.streams.feeds.shell import Feed
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import Market

ADAPTERS: Final[dict[str, Callable[[], Adapter]]] = {
    "kraken": Kraken,
    "binance": Binance,
    "coinbase": Coinbase,
    "coinbase-advanced": lambda: Coinbase(ADVANCED),
}


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """A venue, the markets to read there, and other addresses than its own if given.

    ``api_key`` is CoinGecko's; the other venues need none.
    """

    venue: str
    markets: Sequence[Market]
    ws_url: str | None = None
    rest_url: str | None = None
    api_key: str = field(default="", repr=False)


@dataclass(slots=True)
class _Means:
    """What all feeds of a process share."""

    outbox: KafkaOutbox
    session: aiohttp.ClientSession
    marks: dict[Market, Mark]
    now_ms: Callable[[], int]
    statuses: dict[str, FeedStatus] = field(default_factory=dict[str, FeedStatus])


async def ingest(
    kafka_options: dict[str, Any],
    feeds: Sequence[FeedConfig],
    *,
    partitions: int,
    now_ms: Callable[[], int],
    statuses: dict[str, FeedStatus],
) -> None:
    """Run ``feeds`` until cancelled, from where the last run stopped; then write what is left.

    ``kafka_options`` are the connection arguments of aiokafka's clients. ``statuses`` is filled
    with the status of each feed, by venue.

    Raises:
        ConfigError: If a venue is unknown or a market has no symbol there.
    """
    check(feeds)
    markets = [market for feed in feeds for market in feed.markets]
    marks = await read_marks(kafka_options, markets, partitions)
    producer = AIOKafkaProducer(**kafka_options, enable_idempotence=True)
    await producer.start()
    try:
        async with aiohttp.ClientSession() as session:
            outbox = KafkaOutbox(producer, partitions, now_ms)
            means = _Means(outbox, session, marks, now_ms, statuses)
            shells = [_shell(feed, means) for feed in feeds]
            reporting = FeedReporting(producer, statuses, now_ms)
            await _run_all(outbox, [*shells, reporting.run()])
    finally:
        await producer.stop()


def check(feeds: Sequence[FeedConfig]) -> None:
    """Check that ``feeds`` can be run.

    Raises:
        ConfigError: Saying what to change.
    """
    venues = {adapter().venue.name for adapter in ADAPTERS.values()} | {coingecko.VENUE.name}
    for feed in feeds:
        if feed.venue not in ADAPTERS and feed.venue != coingecko.VENUE.name:
            known = ", ".join(sorted(venues))
            raise ConfigError(f"no feed for venue {feed.venue!r}; there are {known}")
        name = venue_of(feed).name
        strangers = [market for market in feed.markets if market != _canonical(market, name)]
        if strangers or not feed.markets:
            wrong = ", ".join(strangers) or "no market at all"
            raise ConfigError(f"feed {feed.venue}: write {name}:BASE-QUOTE, not {wrong}")
    names = [venue_of(feed).name for feed in feeds]
    if len(set(names)) < len(names):
        raise ConfigError("two feeds of one venue: put their markets into one")


def venue_of(feed: FeedConfig) -> Venue:
    """Return what is known of the venue of ``feed``."""
    return ADAPTERS[feed.venue]().venue if feed.venue in ADAPTERS else coingecko.VENUE


def _canonical(market: Market, venue: str) -> str:
    return f"{venue}:{'-'.join(assets(market))}"


async def _run_all(outbox: KafkaOutbox, shells: list[Coroutine[Any, Any, None]]) -> None:
    writing = asyncio.create_task(outbox.run())
    try:
        async with asyncio.TaskGroup() as tasks:
            for shell in shells:
                tasks.create_task(shell)
            tasks.create_task(_watch(writing))
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing


async def _watch(writing: asyncio.Task[None]) -> None:
    await asyncio.shield(writing)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _shell(feed: FeedConfig, means: _Means) -> Coroutine[Any, Any, None]:
    venue = venue_of(feed)
    status = means.statuses[venue.name] = FeedStatus(venue.name, list(feed.markets))
    rest = HttpRest(
        means.session,
        feed.rest_url or venue.rest_url,
        Budget(venue.rest_per_minute),
        status.breaker,
        means.now_ms,
        headers={coingecko.KEY_HEADER: feed.api_key} if feed.api_key else {},
    )
    if feed.venue not in ADAPTERS:
        return Poll(means.outbox, rest, means.now_ms, status).run()
    adapter = ADAPTERS[feed.venue]()
    sequences = {
        adapter.symbol(market): SequenceLogic(market, means.marks.get(market))
        for market in feed.markets
    }
    return Feed(
        adapter=adapter,
        ws_url=feed.ws_url or venue.ws_url,
        sequences=sequences,
        outbox=means.outbox,
        rest=rest,
        now_ms=means.now_ms,
        random=random.random,
        status=status,
    ).run()
