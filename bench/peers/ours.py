"""Our worker as it is deployed: seven intervals, state in the changelog."""

import sys
import time
from pathlib import Path

from rig.kafka import PARTITIONS

from chaintide.agents.app import run_worker
from chaintide.agents.crew import WorkerConfig
from chaintide.agents.crews import CANDLE_CREW
from chaintide.streams.kafka import KafkaConfig

DAY_MS = 86_400_000


def config(bootstrap: str, horizon_ms: int = DAY_MS) -> WorkerConfig:
    return WorkerConfig(
        kafka=KafkaConfig(bootstrap=bootstrap),
        instance="bench",
        partitions=PARTITIONS,
        group="bench",
        data_dir=Path.cwd(),
        grace_ms=2_000,
        horizon_ms=horizon_ms,
        started_s=int(time.time()),
    )


if __name__ == "__main__":
    _, bootstrap, *horizon = sys.argv
    sys.argv = sys.argv[:1]  # Faust reads the rest of it
    run_worker(config(bootstrap, *map(int, horizon)), CANDLE_CREW)
