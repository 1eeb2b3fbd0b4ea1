"""Every Kafka topic, in one table."""

from dataclasses import dataclass
from typing import Literal

PREFIX = "chaintide"


@dataclass(frozen=True, slots=True)
class Topic:
    """A named log: ``chaintide.<plural noun>.v<schema>``."""

    name: str
    key: str
    policy: Literal["delete", "compact"] = "delete"
    retention_days: int = 7


TRADES = Topic("chaintide.trades.v1", key="market")
CANDLES = Topic("chaintide.candles.v1", key="market")
CANDLE_STATE = Topic("chaintide.candle-state.v1", key="market and bar", policy="compact")
CHAIN = Topic("chaintide.chain.v1", key="chain and stream")
# Longer than any chain takes to make a block final, and than anybody leaves a follower down.
BLOCKS = Topic("chaintide.blocks.v1", key="chain", retention_days=90)
ALIASES = Topic("chaintide.aliases.v1", key="market", policy="compact")
VIEWS = Topic("chaintide.views.v1", key="market", policy="compact")
PROBABILITIES = Topic("chaintide.probabilities.v1", key="none")
PROBABILITY_STATE = Topic(
    "chaintide.probability-state.v1", key="generation, interval and part", policy="compact"
)
ANOMALIES = Topic("chaintide.anomalies.v1", key="market")
ANOMALY_STATE = Topic(
    "chaintide.anomaly-state.v1", key="source, market and event", policy="compact"
)
SCORES = Topic("chaintide.scores.v1", key="market, interval and horizon", policy="compact")
TICKS = Topic("chaintide.ticks.v1", key="market")
FEEDS = Topic("chaintide.feeds.v1", key="venue", policy="compact")
LATE = Topic("chaintide.late.v1", key="market")
DEAD_LETTERS = Topic("chaintide.dead-letters.v1", key="key of the record")

ALL = (
    TRADES,
    CANDLES,
    CANDLE_STATE,
    CHAIN,
    BLOCKS,
    ALIASES,
    VIEWS,
    PROBABILITIES,
    PROBABILITY_STATE,
    SCORES,
    ANOMALIES,
    ANOMALY_STATE,
    TICKS,
    FEEDS,
    LATE,
    DEAD_LETTERS,
)
DEFAULT_PARTITIONS = 12
