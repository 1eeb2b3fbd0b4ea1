"""What each role does with its settings: the store it opens, the broker it finds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaintide.api.settings import Settings
from chaintide.api.sockets.garbage import seldom
from chaintide.sinks.forecast_store import Store
from chaintide.sinks.sqlite import FILE_NAME, SqliteStore
from chaintide.streams.admin import ensure_topics
from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.kafka import KafkaConfig

if TYPE_CHECKING:
    from chaintide.agents.crew import Crew, WorkerConfig

WORKERS_GROUP = "chaintide-candles"
SINKS_GROUP = "chaintide-sink"
FORECASTS_GROUP = "chaintide-forecasts"
ANOMALIES_GROUP = "chaintide-anomalies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where to listen, 0 for any free port, and who is told of the port."""

    port: int
    announce: Callable[[int], None]


@asynccontextmanager
async def kafka(settings: Settings) -> AsyncIterator[tuple[KafkaConfig, EmbeddedBroker | None]]:
    """Yield the configured Kafka, or the embedded one for as long as this block runs.

    Raises:
        ConfigError: If it cannot be reached or its topics do not fit the settings.
    """
    config = settings.kafka_config()
    broker = None
    if config is None:
        broker = EmbeddedBroker(settings.data_dir)
        config = await broker.start()
    try:
        await ensure_topics(config, settings.partitions)
        yield config, broker
    finally:
        if broker is not None:
            await broker.stop()


@asynccontextmanager
async def given_kafka(settings: Settings) -> AsyncIterator[KafkaConfig]:
    """Yield the configured Kafka, which need not answer now, or start the embedded one."""
    config = settings.kafka_config()
    if config is not None:
        yield config
        return
    async with kafka(settings) as (embedded, _):
        yield embedded


@asynccontextmanager
async def store(settings: Settings) -> AsyncIterator[Store]:
    """Yield InfluxDB if it is configured, else the SQLite file in the data directory."""
    opened: Store
    if settings.influx_url:
        # Nearly a second that SQLite users need not wait for.
        from chaintide.sinks.influx import InfluxConfig, InfluxStore  # noqa: PLC0415

        opened = InfluxStore(
            InfluxConfig(
                url=settings.influx_url,
                token=settings.influx_token.get_secret_value(),
                org=settings.influx_org,
                bucket=settings.influx_bucket,
            )
        )
    else:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        opened = SqliteStore(settings.data_dir / FILE_NAME)
    try:
        yield opened
    finally:
        await opened.close()


def work(settings: Settings, kafka_config: KafkaConfig, instance: str, *, now_ms: int) -> None:
    """Run one worker until it is told to stop; raise ``SystemExit`` with its status."""
    asyncio.run(ensure_topics(kafka_config, settings.partitions))
    # Half a second that no other role has to wait for.
    from chaintide.agents.crews import CANDLE_CREW  # noqa: PLC0415

    config = _worker_config(settings, kafka_config, (WORKERS_GROUP, instance), now_ms=now_ms)
    _run(config, CANDLE_CREW)


def forecast(settings: Settings, kafka_config: KafkaConfig, instance: str, *, now_ms: int) -> None:
    """Run one forecaster until it is told to stop; raise ``SystemExit`` with its status."""
    asyncio.run(ensure_topics(kafka_config, settings.partitions))
    from chaintide.agents.crews import forecast_crew  # noqa: PLC0415
    from chaintide.agents.forecasts.changelog import Plan  # noqa: PLC0415

    config = _worker_config(settings, kafka_config, (FORECASTS_GROUP, instance), now_ms=now_ms)
    plan = Plan(settings.forecast_interval_names, settings.horizon_counts)
    _run(config, forecast_crew(plan))


def detect(settings: Settings, kafka_config: KafkaConfig, instance: str, *, now_ms: int) -> None:
    """Run one detector until it is told to stop; raise ``SystemExit`` with its status."""
    asyncio.run(ensure_topics(kafka_config, settings.partitions))
    from chaintide.agents.crews import anomaly_crew  # noqa: PLC0415

    config = _worker_config(settings, kafka_config, (ANOMALIES_GROUP, instance), now_ms=now_ms)
    _run(config, anomaly_crew(settings.anomaly_budget))


def _run(config: "WorkerConfig", crew: "Crew") -> None:
    from chaintide.agents.app import run_worker  # noqa: PLC0415

    with seldom():
        run_worker(config, crew)


def _worker_config(
    settings: Settings, kafka_config: KafkaConfig, member: tuple[str, str], *, now_ms: int
) -> "WorkerConfig":
    from chaintide.agents.crew import WorkerConfig  # noqa: PLC0415

    group, instance = member
    return WorkerConfig(
        kafka=kafka_config,
        instance=instance,
        partitions=settings.partitions,
        group=group,
        data_dir=settings.data_dir,
        grace_ms=settings.grace_ms,
        horizon_ms=settings.horizon_ms,
        started_s=now_ms // 1000,
    )
