"""Say what is configured, what can be reached, and what to do about the rest."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiokafka.errors import KafkaError
from rich.table import Table

from chaintide.api import roles, venues
from chaintide.api.health import amiss
from chaintide.api.running import Running
from chaintide.api.settings import Settings
from chaintide.api.words import counted
from chaintide.streams.admin import lag
from chaintide.streams.errors import ChaintideError
from chaintide.streams.feeds.ingest import check, venue_of
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import CANDLES, TRADES

ENOUGH_BYTES = 2 << 30
REACH_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; ``advice`` says what to do unless it is fine."""

    subject: str
    state: Literal["ok", "warning", "fault"]
    found: str
    advice: str = ""


async def table(settings: Settings, running: Running | None = None) -> tuple[Table, bool]:
    """Return all findings for a person, and whether none is a fault."""
    rows = Table("", "what", "found", "what to do")
    signs = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "fault": "[red]fault[/]"}
    is_fine = True
    async for finding in examine(settings, running):
        advice = "" if finding.state == "ok" else finding.advice
        rows.add_row(signs[finding.state], finding.subject, finding.found, advice)
        is_fine = is_fine and finding.state != "fault"
    return rows, is_fine


async def examine(settings: Settings, running: Running | None = None) -> AsyncIterator[Finding]:
    """Yield one finding after another, first what ``running`` says of itself."""
    if running is not None:
        yield await _running(running)
    yield _disk(settings)
    try:
        async with roles.kafka(settings) as (config, broker):
            place = "embedded" if broker else "configured"
            yield Finding("Kafka", "ok", f"{place}, {config.bootstrap}, topics as they should be")
            async for finding in _lags(config):
                yield finding
    except (ChaintideError, KafkaError, OSError) as error:
        advice = "check CHAINTIDE_KAFKA and its CHAINTIDE_KAFKA_* login"
        yield Finding("Kafka", "fault", str(error), advice)
    yield await _store(settings)
    try:
        feeds = venues.configs(settings)
        check(feeds)
    except ChaintideError as error:
        yield Finding("feeds", "fault", str(error), "change CHAINTIDE_MARKETS")
        return
    for feed in feeds:
        yield await _venue(feed.venue, feed.rest_url or venue_of(feed).rest_url)


async def _running(running: Running) -> Finding:
    name = "chaintide up --demo" if running.is_demo else "chaintide up"
    if fault := await amiss(running.url):
        return Finding(name, "warning", f"{running.url}/ {fault}", "wait, or read its logs")
    return Finding(name, "ok", f"{running.url}/ is ready")


def _disk(settings: Settings) -> Finding:
    place = settings.data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{settings.data_dir}, {free / 2**30:.1f} GiB free"
    if free < ENOUGH_BYTES:
        return Finding("data directory", "warning", found, "free some space or set another one")
    return Finding("data directory", "ok", found)


async def _lags(config: KafkaConfig) -> AsyncIterator[Finding]:
    for role, group, topic in (
        ("worker", roles.WORKERS_GROUP, TRADES.name),
        ("sink", roles.SINKS_GROUP, CANDLES.name),
    ):
        behind = await lag(config, group, topic)
        state: Literal["ok", "warning"] = "ok" if behind < 10_000 else "warning"
        yield Finding(role, state, f"{counted(behind, 'message')} behind", "start another one")


async def _store(settings: Settings) -> Finding:
    name = f"InfluxDB {settings.influx_url}" if settings.influx_url else "SQLite"
    try:
        async with roles.store(settings) as store:
            markets = await store.markets()
    except (ChaintideError, OSError) as error:
        return Finding("store", "fault", f"{name}: {error}", "check CHAINTIDE_INFLUX_*")
    return Finding("store", "ok", f"{name}, {counted(len(markets), 'market')}")


async def _venue(name: str, url: str) -> Finding:
    try:
        async with (
            asyncio.timeout(REACH_S),
            aiohttp.ClientSession() as session,
            session.get(url) as answer,
        ):
            return Finding(name, "ok", f"{url} answers ({answer.status})")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        advice = f"no live trades from {name}: check the network, or try `chaintide up --demo`"
        return Finding(name, "warning", f"{url}: {str(error) or 'no answer'}", advice)
