"""From a trade's arrival at the feed to the candle that holds it, read from its topic.

Trades come at an even pace whether the system keeps up or not; every one is timed.
"""

import argparse
import asyncio
import time
from contextlib import suppress
from statistics import quantiles

import msgspec
from aiokafka import AIOKafkaConsumer
from rig.kafka import Cluster, cluster
from rig.live import LiveFeed, live_feed
from rig.machine import leave_worker_core, pinned
from rig.report import report

from chaintide.streams.records import CandleBatch, Market
from chaintide.streams.topics import CANDLES

WARM_UP_S = 20.0  # the worker joins its group, and works off what has come meanwhile
_decode = msgspec.json.Decoder(CandleBatch).decode


class Stopwatch:
    """How long every trade took, by the newest trade that a one-minute candle names."""

    def __init__(self, feed: LiveFeed) -> None:
        self.feed = feed
        self.latencies_ms: list[float] = []
        self._next: dict[Market, int] = {}

    def on_batch(self, batch: CandleBatch, now_s: float) -> None:
        """Time every trade that ``batch`` shows for the first time."""
        ids = [c.last_trade_id for c in batch.candles if c.interval == "1m"]
        newest = max((n for n in ids if n is not None), default=-1)
        first = self._next.get(batch.market, 0)
        came = self.feed.received_s[batch.market][first : newest + 1]
        self.latencies_ms += [(now_s - came_s) * 1000 for came_s in came]
        self._next[batch.market] = max(first, newest + 1)


async def watch(on: Cluster, stopwatch: Stopwatch) -> None:
    options = {"auto_offset_reset": "earliest", "fetch_max_wait_ms": 5}
    async with AIOKafkaConsumer(CANDLES.name, **on.kafka.client_options(), **options) as consumer:
        async for record in consumer:
            stopwatch.on_batch(_decode(record.value), time.perf_counter())


async def measure(per_s: int, seconds: float, markets: int) -> list[float]:
    """Return the latency of every trade after the warm-up, in ms."""
    async with cluster() as on:
        with pinned("ours", on.kafka.bootstrap, cwd=on.home):
            async with live_feed(on, per_s=per_s, markets=markets) as feed:
                stopwatch = Stopwatch(feed)
                watching = asyncio.create_task(watch(on, stopwatch))
                await feed.run(WARM_UP_S)
                skipped = len(stopwatch.latencies_ms)
                await feed.run(seconds)
                await asyncio.sleep(1)
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
    if (seen := len(stopwatch.latencies_ms)) != feed.trades:
        raise SystemExit(f"{seen} of {feed.trades} trades came out")
    return stopwatch.latencies_ms[skipped:]


def main(per_s: int, seconds: float, spread: list[int]) -> None:
    leave_worker_core()
    for markets in spread:
        cuts = quantiles(asyncio.run(measure(per_s, seconds, markets)), n=1000)
        for name, place in (("p50", 500), ("p99", 990), ("p999", 999)):
            report(
                f"latency.{name}",
                cuts[place - 1],
                "ms from trade received to candle on its topic",
                packages=("chaintide", "faust-streaming", "aiokafka"),
                per_s=per_s,
                seconds=seconds,
                markets=markets,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-s", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=20)
    help_markets = "over how many markets, evenly: the more, the fewer trades in a message"
    parser.add_argument("--markets", type=int, nargs="+", default=[20, 100], help=help_markets)
    arguments = parser.parse_args()
    main(arguments.per_s, arguments.seconds, arguments.markets)
