"""kill -9 of a forecaster, again and again in one replay: what it says must be what it would say.

Compared with a run in one piece: every prediction, whether it was written once or again after a
kill, and what became of them. Exits with 1 if anything differs.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from rig.candles import FIRST, closed
from rig.kafka import PARTITIONS, Cluster, cluster
from rig.report import report

from chaintide.agents.forecasts.changelog import ForecastRecovery, Plan
from chaintide.agents.forecasts.partition import ForecastsLogic
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch, score_key
from chaintide.streams.records import CandleBatch, Market
from chaintide.streams.topics import CANDLES, PROBABILITIES, SCORES

MARKETS = [Market(f"bench:M{n}-USD") for n in range(3)]
HORIZONS = (1, 5)
KILLS, MINUTES = 50, 3_000
ORDERLY = 5  # before every fifth kill one ends in order, so that there is a snapshot to go on from
_batches = msgspec.json.Decoder(PredictionBatch)
_scores = msgspec.json.Decoder(ModelScore)


def values(minutes: int) -> list[bytes]:
    """Return closed candles of a few markets."""
    chance, made = random.Random(5), list[bytes]()
    prices = dict.fromkeys(MARKETS, 100.0)
    for minute in range(minutes):
        opened = FIRST.open_time_ms + minute * MINUTE_MS
        for market in MARKETS:
            prices[market] *= 1 + chance.gauss(0, 0.001)
            candle = closed(market, opened, prices[market])
            batch = CandleBatch(market=market, generation=1, offset=len(made), candles=[candle])
            made.append(codec.encode(batch))
    return made


class Reader:
    """What the forecaster has written; ``contradictions`` are predictions it changed."""

    def __init__(self, on: Cluster) -> None:
        options = on.kafka.client_options() | {"auto_offset_reset": "earliest", "group_id": None}
        self.consumer = AIOKafkaConsumer(PROBABILITIES.name, SCORES.name, **options)
        self.said: dict[str, Prediction] = {}
        self.scores: dict[str, ModelScore] = {}
        self.repeated = self.contradictions = 0

    async def until(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(300):
            while not is_enough():
                for records in (await self.consumer.getmany(timeout_ms=50)).values():
                    for record in records:
                        self._take(record)

    def _take(self, record: ConsumerRecord[Any, Any]) -> None:
        if record.topic == SCORES.name:
            score = _scores.decode(record.value)
            self.scores[score_key(score.market, score.interval, score.horizon)] = score
            return
        for one in _batches.decode(record.value).predictions:
            before = self.said.setdefault(one.prediction_id, one)
            self.repeated += before is not one
            self.contradictions += before != one


def start(on: Cluster) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "CHAINTIDE_KAFKA": on.kafka.bootstrap,
        "CHAINTIDE_PARTITIONS": str(PARTITIONS),
        "CHAINTIDE_DATA_DIR": str(on.home),
        "CHAINTIDE_HORIZONS": ",".join(map(str, HORIZONS)),
        "CHAINTIDE_FORECAST_INTERVALS": "1m",
    }
    command = [sys.executable, "-m", "chaintide.api.cli", "forecast"]
    return subprocess.Popen(command, env=environment)


async def replay(on: Cluster, reader: Reader, inputs: list[bytes], kills: int) -> None:
    """Write ``inputs`` and kill the forecaster at moments that chance decides."""
    chance, step = random.Random(7), -(-len(inputs) // (kills + 1))
    process = start(on)
    try:
        async with AIOKafkaProducer(**on.kafka.producer_options(linger_ms=2)) as producer:
            for first in range(0, len(inputs), step):
                for value in inputs[first : first + step]:
                    await producer.send(CANDLES.name, value, partition=0)
                await producer.flush()
                if first + step >= len(inputs):
                    break
                is_orderly = first // step % ORDERLY == 0
                ends = [signal.SIGTERM, signal.SIGKILL] if is_orderly else [signal.SIGKILL]
                moments = sorted(chance.randrange(step) for _ in ends)
                for end, moment in zip(ends, moments, strict=True):
                    reached = len(HORIZONS) * (first + moment)
                    await reader.until(lambda enough=reached: len(reader.said) >= enough)
                    process.send_signal(end)
                    await asyncio.to_thread(process.wait)
                    process = start(on)
        await reader.until(lambda: len(reader.said) >= len(HORIZONS) * len(inputs))
        process.send_signal(signal.SIGTERM)  # it says how good it was when it ends
        await asyncio.to_thread(process.wait, 60)
        last_ms = FIRST.open_time_ms + len(inputs) // len(MARKETS) * MINUTE_MS
        wanted = len(HORIZONS) * len(MARKETS)
        await reader.until(
            lambda: sum(one.as_of_ms == last_ms for one in reader.scores.values()) == wanted
        )
    finally:
        process.kill()
        process.wait()


async def measure(kills: int, minutes: int) -> dict[str, int]:
    inputs = values(minutes)
    clean = ForecastsLogic(Plan(("1m",), HORIZONS), ForecastRecovery())
    for offset, value in enumerate(inputs):
        clean.on_input(Input(0, offset, 0, b"", value))
    wanted = {one.prediction_id: one for batch in clean.drain() for one in batch.predictions}
    async with cluster() as on:
        reader = Reader(on)
        async with reader.consumer:
            await replay(on, reader, inputs, kills)
    said, scores = reader.said, reader.scores
    odd = sum(said.get(name) != one for name, one in wanted.items()) + len(said.keys() - wanted)
    for score in clean.grades(100):
        same = scores[score_key(score.market, score.interval, score.horizon)]
        odd += same.issued != same.resolved + same.pending + same.void
        odd += [same.issued, same.resolved, same.pending, same.void, same.log_loss, same.bins] != [
            score.issued, score.resolved, score.pending, score.void, score.log_loss, score.bins
        ]  # fmt: skip
    return {
        "different": odd + reader.contradictions,
        "predictions": len(said),
        "repeated": reader.repeated,
    }


def main(kills: int, minutes: int) -> None:
    found = asyncio.run(measure(kills, minutes))
    different = found.pop("different")
    report(
        "forecasts.kills",
        different,
        "predictions and counts that differ from a run without kills",
        packages=("chaintide", "faust-streaming", "aiokafka", "numpy"),
        kills=kills,
        goal=0,
        **found,
    )
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--minutes", type=int, default=MINUTES)
    arguments = parser.parse_args()
    main(arguments.kills, arguments.minutes)
