"""Kafka records in, what is to be stored and dead letters out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import msgspec

from chaintide.streams import codec
from chaintide.streams.anomalies import AnomalyBatch
from chaintide.streams.errors import BadRecordError
from chaintide.streams.probabilities import ModelScore, PredictionBatch
from chaintide.streams.records import SCHEMA_VERSION, Candle, CandleBatch, DeadLetter, Gap
from chaintide.streams.topics import ANOMALIES, PROBABILITIES, SCORES

MAX_KEPT_BYTES: Final = 65_536
"""As much of a key or value that cannot be understood is kept in its dead letter."""
_batches: Final = msgspec.json.Decoder(CandleBatch)
_predictions: Final = msgspec.json.Decoder(PredictionBatch)
_scores: Final = msgspec.json.Decoder(ModelScore)
_anomalies: Final = msgspec.json.Decoder(AnomalyBatch)
_Versioned = TypeVar("_Versioned", CandleBatch, PredictionBatch, ModelScore, AnomalyBatch)


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
    predictions: list[PredictionBatch] = field(default_factory=list[PredictionBatch])
    scores: list[ModelScore] = field(default_factory=list[ModelScore])
    anomalies: list[AnomalyBatch] = field(default_factory=list[AnomalyBatch])


def read(records: Iterable[Record]) -> Intake:
    """Return what ``records`` hold, and a dead letter for each one that cannot be understood."""
    intake = Intake([], [])
    for record in records:
        try:
            match record.topic:
                case PROBABILITIES.name:
                    intake.predictions.append(_checked(_predictions, record.value))
                case SCORES.name:
                    intake.scores.append(_checked(_scores, record.value))
                case ANOMALIES.name:
                    intake.anomalies.append(_checked(_anomalies, record.value))
                case _:
                    intake.batches.append(_batch(record.value))
        except BadRecordError as error:
            intake.dead_letters.append(_dead_letter(record, error.reason))
    return intake


def _batch(value: bytes | None) -> CandleBatch:
    batch = _checked(_batches, value)
    parts: list[Candle | Gap] = [*batch.candles, *batch.gaps]
    if any(part.market != batch.market for part in parts):
        raise BadRecordError(f"a candle or gap of another market than {batch.market}")
    return batch


def _checked(decoder: "msgspec.json.Decoder[_Versioned]", value: bytes | None) -> _Versioned:
    record = codec.decode(decoder, value or b"")
    if record.v != SCHEMA_VERSION:
        raise BadRecordError(f"schema version {record.v}, this program reads {SCHEMA_VERSION}")
    return record


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
