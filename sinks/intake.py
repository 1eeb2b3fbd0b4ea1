"""Kafka records in, candle batches and dead letters out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from chaintide.streams import codec
from chaintide.streams.errors import BadRecordError
from chaintide.streams.records import SCHEMA_VERSION, Candle, CandleBatch, DeadLetter, Gap

MAX_KEPT_BYTES: Final = 65_536
"""As much of a key or value that cannot be understood is kept in its dead letter."""
_batches: Final = msgspec.json.Decoder(CandleBatch)


class Record(Protocol):
    """What is read from a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Intake:
    """What some records hold, in their order."""

    batches: list[CandleBatch]
    dead_letters: list[DeadLetter]


def read(records: Iterable[Record]) -> Intake:
    """Return the batches in ``records``, and a dead letter for each one that holds none."""
    intake = Intake([], [])
    for record in records:
        try:
            intake.batches.append(_batch(record.value))
        except BadRecordError as error:
            intake.dead_letters.append(_dead_letter(record, error.reason))
    return intake


def _batch(value: bytes | None) -> CandleBatch:
    batch = codec.decode(_batches, value or b"")
    if batch.v != SCHEMA_VERSION:
        raise BadRecordError(f"schema version {batch.v}, this program reads {SCHEMA_VERSION}")
    parts: list[Candle | Gap] = [*batch.candles, *batch.gaps]
    if any(part.market != batch.market for part in parts):
        raise BadRecordError(f"a candle or gap of another market than {batch.market}")
    return batch


def _dead_letter(record: Record, reason: str) -> DeadLetter:
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        key=_text(record.key),
        value=_text(record.value),
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"")[:MAX_KEPT_BYTES].decode(errors="backslashreplace")
