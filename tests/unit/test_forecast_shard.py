"""A forecaster writes down what it has learned when no prediction has to wait for that."""

import asyncio

from candles import batch, candle
from unit.test_shard import Kafka

from chaintide.agents.forecasts.changelog import ForecastRecovery, Plan
from chaintide.agents.forecasts.partition import ForecastsLogic
from chaintide.agents.forecasts.shard import LATEST_S, SCORES_AT_ONCE, ForecastShard
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.records import Market
from chaintide.streams.topics import PROBABILITIES, PROBABILITY_STATE, SCORES

MARKETS = [Market(f"kraken:M{n}-USD") for n in range(2 * SCORES_AT_ONCE)]


def closes(kafka: Kafka, shard: ForecastShard, minute: int) -> None:
    """Let all markets close a candle."""
    for place, market in enumerate(MARKETS):
        prices = dict.fromkeys(("open", "high", "low", "close", "vwap"), f"{100 + minute % 3}")
        offset = minute * len(MARKETS) + place
        closed = candle(minute, market=market, volume="1", **prices)
        value = codec.encode(batch(closed, offset=offset))
        shard.apply(Input(3, offset, closed.close_time_ms, market.encode(), value), kafka)


async def late(kafka: Kafka, minutes: int = 3) -> ForecastShard:
    """Return a shard that has written nothing down for long, though it should have."""
    logic = ForecastsLogic(Plan(("1m",), (1,)), ForecastRecovery())
    shard = ForecastShard(3, logic, kafka)
    for minute in range(minutes):
        closes(kafka, shard, minute)
        await shard.emit(range(1))
    shard._saved_s -= LATEST_S
    return shard


async def test_what_waits_to_be_learned_goes_before_what_has_to_be_written_down():
    kafka = Kafka()
    shard = await late(kafka)
    closes(kafka, shard, 3)
    await shard.flush()
    assert not kafka.keys(SCORES)
    assert not kafka.keys(PROBABILITY_STATE)
    said = len(kafka.keys(PROBABILITIES))
    await shard.emit(range(1))
    assert len(kafka.keys(PROBABILITIES)) > said
    await shard.flush()
    assert len(kafka.keys(SCORES)) == len(MARKETS)
    assert kafka.keys(PROBABILITY_STATE)
    assert kafka.acked == 4 * len(MARKETS)


async def test_candles_that_close_while_it_writes_are_learned_first():
    kafka = Kafka()
    shard = await late(kafka)
    writing = asyncio.create_task(shard.flush())
    while not kafka.keys(SCORES):  # noqa: ASYNC110  what was sent has no event
        await asyncio.sleep(0)
    closes(kafka, shard, 3)
    said = len(kafka.keys(PROBABILITIES))
    await asyncio.sleep(0.02)
    assert len(kafka.keys(SCORES)) == SCORES_AT_ONCE
    await shard.emit(range(1))
    assert len(kafka.keys(PROBABILITIES)) > said
    await writing
    assert kafka.keys(PROBABILITY_STATE)
    assert kafka.acked == 4 * len(MARKETS)


async def test_one_that_leaves_writes_all_down_whatever_waits():
    kafka = Kafka()
    shard = await late(kafka)
    closes(kafka, shard, 3)
    await shard.release()
    assert kafka.keys(PROBABILITY_STATE)
    assert kafka.acked == 4 * len(MARKETS)
