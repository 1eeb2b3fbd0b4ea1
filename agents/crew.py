"""What a worker needs to know, and what the shards are that it works at."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from faust.types import TP

from chaintide.agents.anomalies.shard import AnomalyShard
from chaintide.agents.book import Rules
from chaintide.agents.consumer import PromptConsumer
from chaintide.agents.forecasts.shard import ForecastShard
from chaintide.agents.pool_shard import PoolShard
from chaintide.agents.shard import Shard
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import Topic

AnyShard = Shard | PoolShard | ForecastShard | AnomalyShard


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker needs to know; ``started_s`` is the clock, the least generation."""

    kafka: KafkaConfig
    instance: str
    partitions: int
    group: str
    data_dir: Path
    grace_ms: int
    horizon_ms: int
    started_s: int

    @property
    def rules(self) -> Rules:
        """When candles close and when they are final."""
        return Rules(self.grace_ms * 1000, self.horizon_ms * 1000)


@dataclass(frozen=True, slots=True)
class Crew:
    """What a worker works at: its agents, each with its topic, and how shards are recovered.

    While more inputs come, those that came wait ``gather_s`` to be worked at together.
    Partitions of ``silent`` topics are not recovered before something comes. Emits are spaced so
    that they take no more than ``share`` of the time. What holds Python's lock is asked for it
    after ``switch_s``: numpy gives it away at every step, and the thread that fetches takes it.
    """

    agents: Mapping[str, Topic]
    silent: frozenset[Topic]
    open: Callable[[WorkerConfig, TP, AIOKafkaProducer], Awaitable[AnyShard]]
    share: float = 0.25
    consumer: type[PromptConsumer] = PromptConsumer
    switch_s: float = 0.005
    gather_s: float = 0.0
