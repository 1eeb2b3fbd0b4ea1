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


TRADES = Topic("chaintide.trades.v1", key="market")
CANDLES = Topic("chaintide.candles.v1", key="market")
CANDLE_STATE = Topic("chaintide.candle-state.v1", key="market and bar", policy="compact")
TICKS = Topic("chaintide.ticks.v1", key="market")
FEEDS = Topic("chaintide.feeds.v1", key="venue", policy="compact")
LATE = Topic("chaintide.late.v1", key="market")
DEAD_LETTERS = Topic("chaintide.dead-letters.v1", key="key of the record")

ALL = (TRADES, CANDLES, CANDLE_STATE, TICKS, FEEDS, LATE, DEAD_LETTERS)
DEFAULT_PARTITIONS = 12
