"""Read the changelog of one partition back into its logic."""

import logging

from aiokafka import AIOKafkaConsumer, TopicPartition

from chaintide.agents.book import Rules
from chaintide.agents.changelog import Recovery
from chaintide.agents.partition import PartitionLogic
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import CANDLE_STATE, TRADES

logger = logging.getLogger(__name__)


async def recover(
    kafka: KafkaConfig, partition: int, rules: Rules, least_generation: int
) -> PartitionLogic:
    """Return the logic of ``partition`` as its last owner left it.

    If the trades topic ends below what was applied, it was made anew: offsets start over.
    """
    changelog = TopicPartition(CANDLE_STATE.name, partition)
    trades = TopicPartition(TRADES.name, partition)
    recovery, entries = Recovery(), 0
    async with AIOKafkaConsumer(**kafka.client_options(), auto_offset_reset="earliest") as consumer:
        consumer.assign([changelog])
        ends = await consumer.end_offsets([changelog, trades])
        await consumer.seek_to_beginning(changelog)
        while await consumer.position(changelog) < ends[changelog]:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=10_000)).values():
                entries += len(records)
                for record in records:
                    recovery.on_entry(record.key, record.value)
    logic = PartitionLogic(rules, recovery, least_generation)
    if logic.applied >= ends[trades]:
        logger.error(
            "trades topic was made anew, offsets start over partition=%d applied=%d end_offset=%d",
            partition,
            logic.applied,
            ends[trades],
        )
        logic.restart()
    logger.info(
        "recovered partition=%d entries=%d generation=%d", partition, entries, logic.generation
    )
    return logic
