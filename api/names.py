"""What markets of chains are called, as their followers write it down."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from chaintide.streams import codec
from chaintide.streams.chain.records import Alias
from chaintide.streams.errors import BadRecordError
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import Market
from chaintide.streams.topics import ALIASES

FILE_NAME: Final = "names.json"
LOOK_MS: Final = 1_000
_aliases: Final = msgspec.json.Decoder(Alias)
_names: Final = msgspec.json.Decoder(dict[Market, str])


async def follow_names(kafka: KafkaConfig, learn: Callable[[Mapping[Market, str]], None]) -> None:
    """Tell ``learn`` the names of markets that have one, as they come, until cancelled."""
    try:
        async with AIOKafkaConsumer(
            ALIASES.name, **kafka.client_options(), auto_offset_reset="earliest"
        ) as consumer:
            while True:
                came = await consumer.getmany(timeout_ms=LOOK_MS)
                values = (record.value or b"" for records in came.values() for record in records)
                if told := [alias for value in values if (alias := _alias(value)) is not None]:
                    learn({alias.market: alias.name for alias in told})
    except KafkaError:
        return  # markets are shown without names


def write_names(data_dir: Path, names: Mapping[Market, str]) -> None:
    """Keep the names beside the store, which has none, in one step."""
    draft = data_dir / f"{FILE_NAME}.new"
    draft.write_bytes(msgspec.json.encode(names))
    draft.replace(data_dir / FILE_NAME)


def read_names(data_dir: Path) -> dict[Market, str]:
    """Return the names that were kept, none if there are none."""
    try:
        return _names.decode((data_dir / FILE_NAME).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}


def _alias(value: bytes) -> Alias | None:
    try:
        return codec.decode(_aliases, value)
    except BadRecordError:
        return None
