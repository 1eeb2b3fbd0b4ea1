"""Which log this is: another cluster, or a topic that was made anew, is another one."""

import hashlib
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol import api, types

from chaintide.streams.errors import RetryableError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import Topic

DIGITS: Final = 8
_TIMEOUT_MS: Final = 10_000


async def read_epoch(config: KafkaConfig, topics: Iterable[Topic]) -> str:
    """Return eight hexadecimal digits that stand for the cluster and for each of ``topics``.

    Kafka gives a topic a new id whenever it is made. Before version 2.8 it has none, and a topic
    made anew is not told from the old one.

    Raises:
        RetryableError: If Kafka does not answer, or a topic is not there yet.
    """
    admin = AIOKafkaAdminClient(request_timeout_ms=_TIMEOUT_MS, **config.client_options())
    names = sorted(topic.name for topic in topics)
    try:
        await admin.start()
        cluster = (await admin.describe_cluster())["cluster_id"]
        try:
            answer = await admin._send_request(_Metadata(names))  # noqa: SLF001  has no public form
        except NotImplementedError:
            return digest(cluster, dict.fromkeys(names, ""))
    except (KafkaError, OSError) as error:
        raise RetryableError(f"Kafka at {config.bootstrap} does not answer: {error}") from error
    finally:
        await admin.close()
    if missing := [row[1] for row in answer.topics if row[0]]:
        raise RetryableError(f"there is no topic {', '.join(missing)} yet")
    return digest(cluster, {row[1]: row[2] for row in answer.topics})


def digest(cluster: str, ids: dict[str, str]) -> str:
    """Return the epoch of topics, named with their ids, in a cluster.

    >>> digest("c1", {"a": "1", "b": "2"}) == digest("c1", {"b": "2", "a": "1"})
    True
    >>> digest("c1", {"a": "1"})
    'ce8b3c29'
    """
    text = "\n".join([cluster, *(f"{name} {ids[name]}" for name in sorted(ids))])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


class _Uuid(types.AbstractType):  # type: ignore[misc]  # aiokafka has no types
    """Sixteen bytes, as hexadecimal digits."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        return bytes.fromhex(value)

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        return data.read(16).hex()


_TEXT: Final = types.CompactString("utf-8")
_NUMBERS: Final = types.CompactArray(types.Int32)
_TAGS: Final = ("tags", types.TaggedFields)


class _MetadataAnswer(api.Response):  # type: ignore[misc]
    """The first answer of this kind that tells the ids of topics."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = types.Schema(
        ("throttle_time_ms", types.Int32),
        (
            "brokers",
            types.CompactArray(
                ("node_id", types.Int32),
                ("host", _TEXT),
                ("port", types.Int32),
                ("rack", _TEXT),
                _TAGS,
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", types.Int32),
        (
            "topics",
            types.CompactArray(
                ("error_code", types.Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", types.Boolean),
                (
                    "partitions",
                    types.CompactArray(
                        ("error_code", types.Int16),
                        ("partition", types.Int32),
                        ("leader", types.Int32),
                        ("leader_epoch", types.Int32),
                        ("replicas", _NUMBERS),
                        ("in_sync", _NUMBERS),
                        ("offline", _NUMBERS),
                        _TAGS,
                    ),
                ),
                ("operations", types.Int32),
                _TAGS,
            ),
        ),
        ("cluster_operations", types.Int32),
        _TAGS,
    )


class _MetadataCall(api.RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataAnswer
    SCHEMA = types.Schema(
        ("topics", types.CompactArray(("topic_id", _Uuid), ("name", _TEXT), _TAGS)),
        ("may_create", types.Boolean),
        ("with_cluster_operations", types.Boolean),
        ("with_topic_operations", types.Boolean),
        _TAGS,
    )


class _Metadata(api.Request[_MetadataCall]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: Any) -> Any:  # noqa: ANN401
        unknown = "00" * 16
        wanted: list[tuple[str, str, dict[int, bytes]]] = [
            (unknown, name, {}) for name in self._names
        ]
        return request_struct_class(wanted, False, False, False, {})  # noqa: FBT003
