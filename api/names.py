"""What markets of chains are called, as their followers write it down."""

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from chaintide.streams import codec
from chaintide.streams.chain.records import Alias
from chaintide.streams.errors import BadRecordError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import ALIASES

_aliases = msgspec.json.Decoder(Alias)


async def follow_names(kafka: KafkaConfig, names: dict[str, str]) -> None:
    """Fill ``names`` with the name of each market that has one, until cancelled."""
    try:
        async with AIOKafkaConsumer(
            ALIASES.name, **kafka.client_options(), auto_offset_reset="earliest"
        ) as consumer:
            async for record in consumer:
                try:
                    alias = codec.decode(_aliases, record.value or b"")
                except BadRecordError:
                    continue
                names[alias.market] = alias.name
    except KafkaError:
        return  # markets are shown without names
