"""Read what the last owner of a partition wrote down back into its logic."""

import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from chaintide.agents.anomalies.changelog import AnomalyRecovery
from chaintide.agents.anomalies.partition import AnomaliesLogic
from chaintide.agents.book import Rules
from chaintide.agents.changelog import Recovery
from chaintide.agents.forecasts.changelog import ForecastRecovery, Plan
from chaintide.agents.forecasts.partition import ForecastsLogic
from chaintide.agents.partition import PartitionLogic
from chaintide.agents.pools import PoolRecovery, PoolsLogic
from chaintide.streams.ending import end_if_told
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import (
    ANOMALY_STATE,
    CANDLE_STATE,
    CANDLES,
    CHAIN,
    PROBABILITY_STATE,
    TRADES,
    VIEWS,
    Topic,
)

logger = logging.getLogger(__name__)


async def recover(
    kafka: KafkaConfig, partition: int, rules: Rules, least_generation: int
) -> PartitionLogic:
    """Return the logic of ``partition`` as its last owner left it.

    If the trades topic ends below what was applied, it was made anew: offsets start over.
    """
    recovery = Recovery()
    end = await _read(kafka, (CANDLE_STATE, TRADES), partition, recovery.on_entry)
    logic = PartitionLogic(rules, recovery, least_generation)
    if logic.applied >= end:
        _say_made_anew(TRADES, partition, logic.applied)
        logic.restart()
    return logic


async def recover_pools(kafka: KafkaConfig, partition: int, least_generation: int) -> PoolsLogic:
    """Return the pools of ``partition`` as their last owner left them.

    If the chain topic ends below what was applied, it was made anew, and so are the pools.
    """
    recovery = PoolRecovery()
    end = await _read(kafka, (VIEWS, CHAIN), partition, recovery.on_entry)
    logic = PoolsLogic(recovery, least_generation)
    if logic.applied >= end:
        _say_made_anew(CHAIN, partition, logic.applied)
        return PoolsLogic(PoolRecovery(), logic.generation)
    return logic


async def recover_forecasts(
    kafka: KafkaConfig, partition: int, plan: Plan, least_generation: int
) -> ForecastsLogic:
    """Return the learners of ``partition`` as their last owner left them.

    If the candles topic ends below what was applied, it was made anew: offsets start over.
    """
    recovery = ForecastRecovery()
    end = await _read(kafka, (PROBABILITY_STATE, CANDLES), partition, recovery.on_entry)
    logic = ForecastsLogic(plan, recovery, least_generation)
    if logic.offset >= end:
        _say_made_anew(CANDLES, partition, logic.offset)
        logic.restart()
    return logic


async def recover_anomalies(
    kafka: KafkaConfig, source: Topic, partition: int, owner: tuple[float, int]
) -> AnomaliesLogic:
    """Return what was known of ``partition`` of ``source``; ``owner`` has budget and generation.

    If the source ends below what was applied, it was made anew: offsets start over.
    """
    recovery = AnomalyRecovery(source)
    end = await _read(kafka, (ANOMALY_STATE, source), partition, recovery.on_entry)
    budget, least_generation = owner
    logic = AnomaliesLogic(source, budget, recovery, least_generation)
    if logic.applied >= end:
        _say_made_anew(source, partition, logic.applied)
        logic.restart()
    return logic


async def _read(
    kafka: KafkaConfig,
    of: tuple[Topic, Topic],
    partition: int,
    on_entry: Callable[[bytes, bytes | None], None],
) -> int:
    """Read the first of two topics to its end; return where the second ends."""
    changelog, inputs = [TopicPartition(topic.name, partition) for topic in of]
    entries = 0
    async with AIOKafkaConsumer(**kafka.client_options(), auto_offset_reset="earliest") as consumer:
        consumer.assign([changelog])
        ends = await consumer.end_offsets([changelog, inputs])
        await consumer.seek_to_beginning(changelog)
        while await consumer.position(changelog) < ends[changelog]:
            end_if_told()
            for records in (await consumer.getmany(timeout_ms=1000, max_records=10_000)).values():
                entries += len(records)
                for record in records:
                    on_entry(record.key, record.value)
    logger.info("recovered topic=%s partition=%d entries=%d", changelog.topic, partition, entries)
    end: int = ends[inputs]
    return end


def _say_made_anew(topic: Topic, partition: int, applied: int) -> None:
    logger.error(
        "topic was made anew, offsets start over topic=%s partition=%d applied=%d",
        topic.name,
        partition,
        applied,
    )
