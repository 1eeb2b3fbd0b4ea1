"""Make the topics, check those that exist, and measure how far a group is behind."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from chaintide.streams import topics
from chaintide.streams.ending import end_if_told
from chaintide.streams.errors import ConfigError, RetryableError
from chaintide.streams.kafka import KafkaConfig

_TIMEOUT_MS: Final = 10_000
_POLL_S: Final = 0.05
_DAY_MS: Final = 24 * 3_600_000
_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
_POLICIES: Final = {
    # The broker's clock, not a producer's, says what is from the future.
    "delete": {"message.timestamp.type": "LogAppendTime"},
    "compact": {"min.cleanable.dirty.ratio": "0.1", "segment.ms": "600000"},
}


async def ensure_topics(config: KafkaConfig, partitions: int) -> None:
    """Create the topics that are missing; repeatable, by any number of processes at once.

    Raises:
        ConfigError: If a topic exists with another partition count or cleanup policy.
        RetryableError: If Kafka does not answer.
    """
    async with _admin(config) as admin:
        await _create(admin, partitions)
        counts = await _partition_counts(admin, config.bootstrap)
        policies = await _policies(admin)
    for topic in topics.ALL:
        if (has := counts[topic.name]) != partitions:
            raise ConfigError(
                f"topic {topic.name} has {has} partitions, needs {partitions}: set "
                f"CHAINTIDE_PARTITIONS={has}, or stop everything, delete all topics of "
                f"{topics.PREFIX} and start again"
            )
        if (policy := policies[topic.name]) != topic.policy:
            raise ConfigError(
                f"topic {topic.name} has cleanup.policy={policy}, needs {topic.policy}: change it "
                "with kafka-configs.sh --alter --add-config"
            )


async def end_offsets(config: KafkaConfig, topic: str) -> dict[int, int]:
    """Return where each partition of ``topic`` ends now.

    Raises:
        RetryableError: If Kafka does not answer.
    """
    async with _admin(config) as admin, _consumer(config, None) as consumer:
        ends = await consumer.end_offsets(await _places(admin, topic))
    return {place.partition: end for place, end in ends.items()}


async def committed(config: KafkaConfig, group: str, topic: str) -> dict[int, int]:
    """Return what ``group`` reads next of each partition of ``topic``, 0 if it read nothing yet.

    Raises:
        RetryableError: If Kafka does not answer.
    """
    async with _admin(config) as admin, _consumer(config, group) as consumer:
        places = await _places(admin, topic)
        return {place.partition: await consumer.committed(place) or 0 for place in places}


async def lag(
    config: KafkaConfig, group: str, topic: str, ends: Mapping[int, int] | None = None
) -> int:
    """Return how many records of ``topic`` below ``ends`` ``group`` has not committed yet.

    Without ``ends`` those are where the partitions end now.

    Raises:
        RetryableError: If Kafka does not answer.
    """
    async with _admin(config) as admin, _consumer(config, group) as consumer:
        places = await _places(admin, topic)
        done = {place: await consumer.committed(place) or 0 for place in places}
        begin = await consumer.beginning_offsets(places)
        now = await consumer.end_offsets(places)
    until = {place: now[place] if ends is None else ends[place.partition] for place in places}
    return sum(max(0, until[place] - max(begin[place], done[place])) for place in places)


async def _places(admin: AIOKafkaAdminClient, topic: str) -> list[TopicPartition]:
    [described] = await admin.describe_topics([topic])
    return [TopicPartition(topic, row["partition"]) for row in described["partitions"]]


@asynccontextmanager
async def _admin(config: KafkaConfig) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(request_timeout_ms=_TIMEOUT_MS, **config.client_options())
    with _answering(config):
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


@asynccontextmanager
async def _consumer(config: KafkaConfig, group: str | None) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **config.client_options())
    with _answering(config):
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


@contextmanager
def _answering(config: KafkaConfig) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise RetryableError(
            f"Kafka at {config.bootstrap} does not answer ({error}): is it up, and are "
            "CHAINTIDE_KAFKA and the login that belongs to it right?"
        ) from error


async def _create(admin: AIOKafkaAdminClient, partitions: int) -> None:
    wanted = [
        NewTopic(
            topic.name,
            partitions,
            replication_factor=-1,  # the default of the cluster, which aiokafka lets pass
            replica_assignments={},  # only together with an empty assignment
            topic_configs={
                "cleanup.policy": topic.policy,
                "max.message.bytes": str(_MAX_MESSAGE_BYTES),
                **_retention(topic),
                **_POLICIES[topic.policy],
            },
        )
        for topic in topics.ALL
    ]
    response = await admin.create_topics(wanted)
    for name, code, message in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise ConfigError(f"topic {name} cannot be made: {for_code(code).__name__} {message}")


def _retention(topic: topics.Topic) -> dict[str, str]:
    is_deleted = topic.policy == "delete"
    return {"retention.ms": str(topic.retention_days * _DAY_MS)} if is_deleted else {}


async def _partition_counts(admin: AIOKafkaAdminClient, bootstrap: str) -> dict[str, int]:
    """Wait until every partition has a leader; what is new or gone takes Kafka a moment."""
    described: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(_TIMEOUT_MS / 1000):
            while True:
                end_if_told()
                described = await admin.describe_topics([topic.name for topic in topics.ALL])
                if all(_is_led(row) for row in described):
                    return {row["topic"]: len(row["partitions"]) for row in described}
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        unready = ", ".join(row["topic"] for row in described if not _is_led(row))
        raise RetryableError(f"Kafka at {bootstrap} has no leader for {unready} yet") from None


def _is_led(topic: Mapping[str, Any]) -> bool:
    rows = topic["partitions"]
    return topic["error_code"] == 0 and bool(rows) and all(row["leader"] >= 0 for row in rows)


async def _policies(admin: AIOKafkaAdminClient) -> dict[str, str]:
    wanted = [
        ConfigResource(ConfigResourceType.TOPIC, topic.name, {"cleanup.policy": None})
        for topic in topics.ALL
    ]
    responses: list[Any] = await admin.describe_configs(wanted)
    return {
        name: entries[0][1]
        for response in responses
        for _code, _message, _type, name, entries in response.resources
    }
