"""Candle rows per second into each store: one JSON line per store.

``CHAINTIDE_BENCH_INFLUX_URL``, ``…_ORG``, ``…_BUCKET`` and ``…_TOKEN`` add an InfluxDB.
"""

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import msgspec
from rig.candles import FIRST

from chaintide.sinks.candle_store import CandleStore
from chaintide.sinks.influx import InfluxConfig, InfluxStore
from chaintide.sinks.sqlite import SqliteStore
from chaintide.streams.records import CandleBatch, Market

MARKETS = 100
CANDLES_PER_BATCH = 7
BATCHES_PER_WRITE = 500
WRITES = 40


def writes() -> list[list[CandleBatch]]:
    """Return batches of a hundred markets, every candle another one."""
    return [
        [one_batch(write * BATCHES_PER_WRITE + number) for number in range(BATCHES_PER_WRITE)]
        for write in range(WRITES)
    ]


def one_batch(number: int) -> CandleBatch:
    market, step = Market(f"kraken:COIN{number % MARKETS}-USD"), number // MARKETS
    candles = [
        msgspec.structs.replace(
            FIRST,
            market=market,
            open_time_ms=FIRST.open_time_ms + (step * CANDLES_PER_BATCH + i) * 60_000,
        )
        for i in range(CANDLES_PER_BATCH)
    ]
    return CandleBatch(market=market, generation=1, offset=number, candles=candles)


async def measure(name: str, store: CandleStore) -> None:
    everything = writes()
    started = time.perf_counter()
    for batches in everything:
        await store.write(batches)
    seconds = time.perf_counter() - started
    rows = WRITES * BATCHES_PER_WRITE * CANDLES_PER_BATCH
    market, start_ms = Market("kraken:COIN0-USD"), FIRST.open_time_ms
    started = time.perf_counter()
    found = await store.candles(market, "1m", start_ms, limit=1000)
    read_ms = (time.perf_counter() - started) * 1000
    print(
        json.dumps(
            {
                "bench": "sinks",
                "store": name,
                "rows": rows,
                "rows_per_s": round(rows / seconds),
                f"read_{len(found)}_ms": round(read_ms, 1),
            }
        )
    )
    await store.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        await measure("sqlite", SqliteStore(Path(directory) / "bench.sqlite"))
    if url := os.environ.get("CHAINTIDE_BENCH_INFLUX_URL"):
        org, bucket, token = (
            os.environ[f"CHAINTIDE_BENCH_INFLUX_{name}"] for name in ("ORG", "BUCKET", "TOKEN")
        )
        await measure("influx", InfluxStore(InfluxConfig(url, org, bucket, token)))


if __name__ == "__main__":
    asyncio.run(main())
