"""What a worker remembers: bytes a market, and whether it stays flat once windows become final."""

import argparse
import asyncio
import gc
import time

from rig.kafka import cluster
from rig.live import live_feed
from rig.machine import leave_worker_core, pinned, rss_bytes
from rig.report import report

from chaintide.agents.book import Rules
from chaintide.agents.changelog import Recovery
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.streams import codec
from chaintide.streams.records import Market, TradeBatch

DAY_MINUTES = 1_440
MINUTE_US = 60_000_000
HORIZON_MS = 15_000
PACKAGES = ("chaintide", "faust-streaming")
MB = 1 << 20


def minute(market: Market, number: int, start_us: int) -> bytes:
    """Return five trades of one minute."""
    return codec.encode(
        TradeBatch(
            market=market,
            price_scale=2,
            size_scale=8,
            ids=[number * 5 + n for n in range(5)],
            times_us=[start_us + number * MINUTE_US + n * 10_000_000 for n in range(5)],
            prices=[9_000_000 + n for n in range(5)],
            sizes=[10**6 + n for n in range(5)],
            sides="bsbsb",
        )
    )


def day_bytes(markets: int) -> int:
    """Return the memory of ``markets`` markets with trades in every minute of a day."""
    gc.collect()
    before = rss_bytes()
    logic = PartitionLogic(Rules(), Recovery())
    now_ms = time.time_ns() // 1_000_000
    start_us = now_ms * 1000 - DAY_MINUTES * MINUTE_US
    names = [Market(f"bench:M{n:04d}-USD") for n in range(markets)]
    for number in range(DAY_MINUTES):
        for place, name in enumerate(names):
            offset = number * markets + place
            value = minute(name, number, start_us)
            logic.on_input(Input(0, offset, now_ms, name.encode(), value))
        logic.drain()
        for _ in logic.checkpoint():  # which freezes what is closed
            pass
    gc.collect()
    return rss_bytes() - before


async def soak(minutes: float, per_s: int, markets: int) -> list[tuple[float, int]]:
    """Return the memory of a busy worker, every second after the first half."""
    async with cluster() as on:
        with pinned("ours", on.kafka.bootstrap, str(HORIZON_MS), cwd=on.home) as child:
            async with live_feed(on, per_s=per_s, markets=markets) as feed:
                running = asyncio.create_task(feed.run(minutes * 60))
                samples = []
                while not running.done():
                    await asyncio.sleep(1)
                    feed.forget()
                    samples.append((time.monotonic(), rss_bytes(child.pid)))
                await running
    return samples[len(samples) // 2 :]


def slope(samples: list[tuple[float, int]]) -> float:
    """Return the bytes an hour of the straight line through ``samples``."""
    mean_s = sum(s for s, _ in samples) / len(samples)
    mean_bytes = sum(b for _, b in samples) / len(samples)
    up = sum((s - mean_s) * (b - mean_bytes) for s, b in samples)
    return up / sum((s - mean_s) ** 2 for s, _ in samples) * 3600


def main(minutes: float, per_s: int, markets: int) -> None:
    leave_worker_core()
    report(
        "memory.day",
        day_bytes(markets) / markets * 1000 / MB,
        "MiB a 1,000 markets with trades in every minute of 24 h",
        packages=PACKAGES,
        measured_markets=markets,
    )
    samples = asyncio.run(soak(minutes, per_s, markets))
    shared = {"minutes": minutes, "per_s": per_s, "markets": markets, "horizon_ms": HORIZON_MS}
    report("memory.worker", samples[-1][1] / MB, "MiB", packages=PACKAGES, **shared)
    report(
        "memory.slope",
        slope(samples) / MB,
        "MiB an hour, over the second half",
        packages=PACKAGES,
        **shared,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1, help="of the soak")
    parser.add_argument("--per-s", type=int, default=5_000)
    parser.add_argument("--markets", type=int, default=100)
    arguments = parser.parse_args()
    main(arguments.minutes, arguments.per_s, arguments.markets)
