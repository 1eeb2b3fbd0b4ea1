"""A real forecaster on a real Kafka: killed again and again, it says what it would have said."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from candles import candle

from chaintide.agents.forecasts.changelog import ForecastRecovery, Plan
from chaintide.agents.forecasts.partition import ForecastsLogic
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.admin import ensure_topics
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch
from chaintide.streams.records import CandleBatch, Market
from chaintide.streams.topics import CANDLES, PROBABILITIES, SCORES

pytestmark = [pytest.mark.broker, pytest.mark.slow]
MARKETS = [Market(f"kraken:M{n}-USD") for n in range(3)]
MINUTES, KILLS = 400, 5
Said = dict[str, Prediction]
_batches = msgspec.json.Decoder(PredictionBatch)
_scores = msgspec.json.Decoder(ModelScore)


def values() -> list[tuple[bytes, bytes]]:
    """Return the keys and values of closed candles of a few markets."""
    chance, made = random.Random(5), []
    prices = dict.fromkeys(MARKETS, 100.0)
    for minute in range(MINUTES):
        for market in MARKETS:
            prices[market] *= 1 + chance.gauss(0, 0.001)
            price = f"{prices[market]:.4f}"
            fields = dict.fromkeys(("open", "high", "low", "close", "vwap"), price)
            batch = CandleBatch(
                market=market,
                generation=1,
                offset=len(made),
                candles=[candle(minute, market=market, volume="1", **fields)],
            )
            made.append((market.encode(), codec.encode(batch)))
    return made


def start(kafka: KafkaConfig, data_dir: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "CHAINTIDE_KAFKA": kafka.bootstrap,
        "CHAINTIDE_PARTITIONS": "1",
        "CHAINTIDE_HORIZONS": "1,5",
        "CHAINTIDE_FORECAST_INTERVALS": "1m",
    }
    command = [sys.executable, "-m", "chaintide.api.cli", "forecast", "--data-dir", str(data_dir)]
    return subprocess.Popen(command, env=environment)


class Reader:
    """What a forecaster has written so far; the same said again must be the same."""

    def __init__(self, kafka: KafkaConfig) -> None:
        options = kafka.client_options() | {"auto_offset_reset": "earliest", "group_id": None}
        self.consumer = AIOKafkaConsumer(PROBABILITIES.name, SCORES.name, **options)
        self.said: Said = {}
        self.scores: dict[int, dict[Market, ModelScore]] = {1: {}, 5: {}}

    async def until(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not is_enough():
                for records in (await self.consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        self._take(record)

    def _take(self, record: Any) -> None:
        if record.topic == SCORES.name:
            score = _scores.decode(record.value)
            self.scores[score.horizon][score.market] = score
            return
        for one in _batches.decode(record.value).predictions:
            assert self.said.setdefault(one.prediction_id, one) == one


async def test_kills_change_neither_predictions_nor_what_became_of_them(
    kafka: KafkaConfig, tmp_path: Path
):
    await ensure_topics(kafka, 1)
    inputs = values()
    clean = ForecastsLogic(Plan(("1m",), (1, 5)), ForecastRecovery())
    for offset, (key, value) in enumerate(inputs):
        clean.on_input(Input(0, offset, 0, key, value))
    wanted: Said = {one.prediction_id: one for b in clean.drain() for one in b.predictions}
    reader = Reader(kafka)
    await reader.consumer.start()
    process = await asyncio.to_thread(start, kafka, tmp_path)
    try:
        async with AIOKafkaProducer(**kafka.client_options()) as producer:
            step = len(inputs) // (KILLS + 1)
            for place in range(KILLS + 1):
                part = inputs[place * step :] if place == KILLS else inputs[place * step :][:step]
                for key, value in part:
                    await producer.send(CANDLES.name, value, key=key, partition=0)
                await producer.flush()
                reached = 2 * (place * step + len(part) // 2)
                await reader.until(lambda enough=reached: len(reader.said) >= enough)
                if place < KILLS:
                    # Every other time it has a chance to write down what it knows.
                    process.send_signal(signal.SIGTERM if place == 1 else signal.SIGKILL)
                    await asyncio.to_thread(process.wait, 60)
                    process = await asyncio.to_thread(start, kafka, tmp_path)
        await reader.until(lambda: len(reader.said) >= len(wanted))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
        last_ms = MINUTES * MINUTE_MS
        await reader.until(
            lambda: all(
                len(scores) == len(MARKETS) and all(s.as_of_ms == last_ms for s in scores.values())
                for scores in reader.scores.values()
            )
        )
    finally:
        process.kill()
        process.wait()
        await reader.consumer.stop()
    assert reader.said == wanted
    known = {(s.market, s.horizon): s for s in clean.grades(100)}
    for horizon, scores in reader.scores.items():
        for market, score in scores.items():
            same = known[market, horizon]
            assert score.issued == score.resolved + score.pending + score.void == MINUTES
            assert (score.log_loss, score.bins) == (same.log_loss, same.bins)
