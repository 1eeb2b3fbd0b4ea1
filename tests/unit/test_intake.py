"""What is taken from the topic, and what is buried."""

from dataclasses import dataclass

import pytest
from anomalies import anomaly, told
from candles import batch, candle, gap
from forecasts import predicted, prediction, score

from chaintide.sinks.intake import MAX_KEPT_BYTES, read
from chaintide.streams import codec
from chaintide.streams.records import DeadLetter

GOOD = batch(candle(0), gaps=[gap()])


@dataclass
class Record:
    value: bytes | None
    topic: str = "t"
    partition: int = 3
    offset: int = 17
    key: bytes | None = b"k"


def test_batches_keep_their_order():
    batches = [batch(candle(minute), offset=minute) for minute in range(3)]
    taken = read([Record(codec.encode(each)) for each in batches])
    assert taken.batches == batches
    assert taken.dead_letters == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "malformed"),
        (b"", "malformed"),
        (b"{", "malformed"),
        (b'{"type":"candles"}', "malformed"),
        (b'{"type":"trades"}', "malformed"),
        (b"\xff", "malformed"),
        (codec.encode(batch(candle(0), v=2)), "schema version 2"),
        (codec.encode(batch(candle(0), market="x:Y")), "another market than x:Y"),
        (codec.encode(batch(gaps=[gap()], market="x:Y")), "another market than x:Y"),
    ],
)
def test_what_is_no_batch_is_buried_with_its_coordinates(value: bytes | None, reason: str):
    taken = read([Record(value), Record(codec.encode(GOOD))])
    assert taken.batches == [GOOD]
    [letter] = taken.dead_letters
    assert reason in letter.reason
    assert (letter.topic, letter.partition, letter.offset, letter.key) == ("t", 3, 17, "k")


def test_what_is_not_text_is_kept_readably_and_not_without_end():
    [letter] = read([Record(b"\xff" * 10**6, key=None)]).dead_letters
    assert letter.value == "\\xff" * MAX_KEPT_BYTES
    assert letter.key == ""
    assert len(codec.encode(letter)) < 1_000_000
    assert isinstance(letter, DeadLetter)


def test_predictions_and_scores_are_told_from_candles_by_their_topic():
    said, graded = predicted(prediction()), score()
    taken = read(
        [
            Record(codec.encode(said), topic="chaintide.probabilities.v1"),
            Record(codec.encode(graded), topic="chaintide.scores.v1"),
            Record(codec.encode(said), topic="chaintide.scores.v1"),
            Record(codec.encode(GOOD)),
        ]
    )
    assert taken.predictions == [said]
    assert taken.scores == [graded]
    assert taken.batches == [GOOD]
    assert len(taken.dead_letters) == 1


def test_anomalies_are_told_from_candles_by_their_topic():
    one = told(anomaly())
    taken = read([Record(codec.encode(one), topic="chaintide.anomalies.v1")])
    assert taken.anomalies == [one]
    assert (taken.batches, taken.dead_letters) == ([], [])
