import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from chaintide.streams import topics
from chaintide.streams.admin import ensure_topics, lag
from chaintide.streams.errors import ConfigError, RetryableError
from chaintide.streams.kafka import KafkaConfig

pytestmark = pytest.mark.broker


async def admin_of(config: KafkaConfig) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**config.client_options())
    await admin.start()
    return admin


async def configs_of(config: KafkaConfig, topic: str) -> dict[str, str]:
    admin = await admin_of(config)
    [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    await admin.close()
    return {entry[0]: entry[1] for entry in response.resources[0][4]}


async def test_topics_are_made_once_as_the_table_says(kafka):
    await ensure_topics(kafka, 3)
    await ensure_topics(kafka, 3)

    state = await configs_of(kafka, topics.CANDLE_STATE.name)
    trades = await configs_of(kafka, topics.TRADES.name)
    assert (state["cleanup.policy"], state["min.cleanable.dirty.ratio"]) == ("compact", "0.1")
    assert (trades["cleanup.policy"], trades["retention.ms"]) == ("delete", "604800000")
    blocks = await configs_of(kafka, topics.BLOCKS.name)
    assert blocks["retention.ms"] == str(90 * 86_400_000)
    assert trades["max.message.bytes"] == "8388608"


async def test_another_partition_count_is_refused_with_what_to_do(kafka):
    await ensure_topics(kafka, 3)
    with pytest.raises(ConfigError, match="has 3 partitions, needs 4: set CHAINTIDE_PARTITIONS=3"):
        await ensure_topics(kafka, 4)


async def test_lag_counts_what_is_not_committed(kafka):
    await ensure_topics(kafka, 3)
    topic = topics.LATE.name
    assert await lag(kafka, "readers", topic) == 0

    async with AIOKafkaProducer(**kafka.client_options()) as producer:
        for partition in (0, 0, 0, 1):
            await producer.send_and_wait(topic, b"late", partition=partition)
    assert await lag(kafka, "readers", topic) == 4

    options = {"group_id": "readers", "enable_auto_commit": False, **kafka.client_options()}
    async with AIOKafkaConsumer(**options) as consumer:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.commit({place: 2})
    assert await lag(kafka, "readers", topic) == 2


async def test_another_cleanup_policy_is_refused_with_what_to_do(kafka):
    admin = await admin_of(kafka)
    name = topics.CANDLE_STATE.name
    await admin.delete_topics([name])
    await admin.create_topics([NewTopic(name, 3, 1)])
    await admin.close()
    async with asyncio.timeout(60):
        while (await configs_of(kafka, name)).get("cleanup.policy") != "delete":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    with pytest.raises(ConfigError, match=r"cleanup\.policy=delete, needs compact"):
        await ensure_topics(kafka, 3)


async def test_a_kafka_that_does_not_answer_is_named():
    nowhere = KafkaConfig(bootstrap="127.0.0.1:1")
    with pytest.raises(RetryableError, match=r"127\.0\.0\.1:1 does not answer"):
        await ensure_topics(nowhere, 3)
    with pytest.raises(RetryableError, match="CHAINTIDE_KAFKA"):
        await lag(nowhere, "readers", topics.TRADES.name)
