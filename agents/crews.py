"""Who works at what: the crews that make candles, probabilities, and alarms of anomalies."""

from typing import Final

from aiokafka import AIOKafkaProducer
from faust.types import TP

from chaintide.agents.anomalies.shard import AnomalyShard
from chaintide.agents.consumer import ImpatientConsumer
from chaintide.agents.crew import AnyShard, Crew, WorkerConfig
from chaintide.agents.forecasts.changelog import Plan
from chaintide.agents.forecasts.shard import ForecastShard
from chaintide.agents.pool_shard import PoolShard
from chaintide.agents.recovery import (
    recover,
    recover_anomalies,
    recover_forecasts,
    recover_pools,
)
from chaintide.agents.shard import Shard
from chaintide.streams.topics import CANDLES, CHAIN, TRADES


async def _open_candles(config: WorkerConfig, tp: TP, producer: AIOKafkaProducer) -> AnyShard:
    kafka, generation = config.kafka, config.started_s
    if tp.topic == CHAIN.name:
        pools = await recover_pools(kafka, tp.partition, generation)
        return await PoolShard(tp.partition, pools, producer).own()
    logic = await recover(kafka, tp.partition, config.rules, generation)
    return await Shard(tp.partition, logic, producer).own()


CANDLE_CREW: Final = Crew(
    {"candles": TRADES, "pools": CHAIN}, silent=frozenset({CHAIN}), open=_open_candles
)


def forecast_crew(plan: Plan) -> Crew:
    """Return the crew that learns what ``plan`` says from candles."""

    async def open_forecasts(config: WorkerConfig, tp: TP, producer: AIOKafkaProducer) -> AnyShard:
        logic = await recover_forecasts(config.kafka, tp.partition, plan, config.started_s)
        return await ForecastShard(tp.partition, logic, producer).own()

    return Crew(
        {"forecasts": CANDLES},
        silent=frozenset({CANDLES}),
        open=open_forecasts,
        share=0.8,
        consumer=ImpatientConsumer,
        switch_s=0.0002,
        gather_s=0.02,
    )


def anomaly_crew(budget: float) -> Crew:
    """Return the crew that tells of anomalies, at most ``budget`` a day where there are none."""

    async def open_anomalies(config: WorkerConfig, tp: TP, producer: AIOKafkaProducer) -> AnyShard:
        source = CHAIN if tp.topic == CHAIN.name else TRADES
        owner = (budget, config.started_s)
        logic = await recover_anomalies(config.kafka, source, tp.partition, owner)
        return await AnomalyShard(tp.partition, logic, producer).own()

    agents = {"anomalies": TRADES, "events": CHAIN}
    return Crew(agents, silent=frozenset({TRADES, CHAIN}), open=open_anomalies)
