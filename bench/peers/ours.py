"""Our worker as it is deployed: seven intervals, state in the changelog."""

import sys

from rig.kafka import PARTITIONS

from chaintide.agents.app import WorkerConfig, run_worker
from chaintide.streams.kafka import KafkaConfig

if __name__ == "__main__":
    bootstrap = sys.argv.pop()
    run_worker(
        WorkerConfig(
            kafka=KafkaConfig(bootstrap=bootstrap), instance="bench", partitions=PARTITIONS
        )
    )
