"""From a candle that closes to its probabilities at a WebSocket client, for many markets at once.

The candles of all markets close in the same moment, as they do every minute, or, with
``--within-s``, one after the other. Each is timed from just before it is written to its topic;
forecaster, server, Kafka and clients share the machine.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from contextlib import AsyncExitStack, suppress
from statistics import quantiles

from aiokafka import AIOKafkaProducer
from rig.candles import closed
from rig.kafka import PARTITIONS, Cluster, cluster
from rig.machine import BENCH
from rig.report import report
from websockets.asyncio.client import ClientConnection, connect

from chaintide.streams import codec
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import CandleBatch, Market
from chaintide.streams.topics import CANDLES

CHANNELS = 125  # of a client


class Rounds:
    """Candles of all markets, minute by minute, and when what was learned from them arrived."""

    def __init__(self, markets: list[Market], horizons: int, within_s: float) -> None:
        self.markets = markets
        self.horizons = horizons
        self.within_s = within_s
        self.chance = random.Random(1)
        self.prices = dict.fromkeys(markets, 100.0)
        self.first = time.time_ns() // 1_000_000 // MINUTE_MS - 22  # so that they end about now
        self.sent_s: dict[tuple[str, int], float] = {}
        self.latencies_ms: list[float] = []
        self.missing = 0
        self.frames: list[tuple[float, str]] = []
        self.arrived = asyncio.Event()

    def batch(self, market: Market, number: int) -> CandleBatch:
        self.prices[market] *= 1 + self.chance.gauss(0, 0.001)
        candle = closed(market, (self.first + number) * MINUTE_MS, self.prices[market])
        return CandleBatch(market=market, generation=1, offset=number, candles=[candle])

    async def close(self, producer: AIOKafkaProducer, number: int) -> None:
        """Let all markets close a candle, and wait until all has arrived or 10 s are over."""
        values = [(m, codec.encode(self.batch(m, number))) for m in self.markets]
        issued = (self.first + number + 1) * MINUTE_MS
        self.arrived.clear()
        self.missing = len(self.markets) * self.horizons
        began_s = time.perf_counter()
        for place, (market, value) in enumerate(values):
            due_s = began_s + self.within_s * place / len(values)
            if (wait_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            self.sent_s[market, issued] = time.perf_counter()
            home = partition_of(market, PARTITIONS)
            await producer.send(CANDLES.name, value, key=market.encode(), partition=home)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.arrived.wait(), 10)
        self.read()
        if self.missing > 0:
            print(f"{self.missing} probabilities did not arrive", file=sys.stderr)

    async def listen(self, client: ClientConnection) -> None:
        async for frame in client:
            now_s = time.perf_counter()
            text = str(frame)
            self.frames.append((now_s, text))
            self.missing -= text.count('"type":"update"')
            if self.missing <= 0:
                self.arrived.set()

    def read(self) -> None:
        """Note how old what came was; not while anything is timed that shares the machine."""
        for now_s, frame in self.frames:
            for line in frame.split("\n"):
                message = json.loads(line)
                if message.get("type") == "update":
                    said = message["data"]
                    sent_s = self.sent_s.get((said["market"], said["issued_at"]))
                    if sent_s is not None:
                        self.latencies_ms.append((now_s - sent_s) * 1_000)
        self.frames.clear()


async def start(on: Cluster, horizons: str, *arguments: str) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "PYTHONPATH": str(BENCH),
        "CHAINTIDE_KAFKA": on.kafka.bootstrap,
        "CHAINTIDE_PARTITIONS": str(PARTITIONS),
        "CHAINTIDE_DATA_DIR": str(on.home),
        "CHAINTIDE_FORECAST_INTERVALS": "1m",
        "CHAINTIDE_HORIZONS": horizons,
    }
    command = (sys.executable, "-m", "chaintide.api.cli", *arguments)
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE
    )


async def subscribed(url: str, markets: list[Market]) -> ClientConnection:
    client = await connect(url, max_size=None)
    for first in range(0, len(markets), 25):
        channels = [{"ch": f"prob:{market}:1m"} for market in markets[first : first + 25]]
        await client.send(json.dumps({"id": first, "op": "subscribe", "channels": channels}))
        answer: dict[str, object] = {}
        while "ok" not in answer:  # updates may come before it, or with it
            lines = str(await client.recv()).split("\n")
            answer = next((found for found in map(json.loads, lines) if "ok" in found), {})
        if not answer["ok"]:
            raise SystemExit(f"refused: {answer}")
        await asyncio.sleep(0.25)  # five requests a second are granted
    return client


async def measure(count: int, rounds: int, horizons: str, within_s: float) -> list[float]:
    markets = [Market(f"bench:M{n:04d}-USD") for n in range(count)]
    async with cluster() as on, AsyncExitStack() as stack:
        options = on.kafka.producer_options(linger_ms=2)
        producer = await stack.enter_async_context(AIOKafkaProducer(**options))
        roles = [
            await start(on, horizons, "forecast"),
            await start(on, horizons, "serve", "--port", "0"),
        ]
        listening = []
        try:
            running = Rounds(markets, len(horizons.split(",")), within_s)
            running.missing = 0
            assert roles[1].stdout is not None
            url = (await roles[1].stdout.readline()).decode().strip()
            for number in range(20):  # they learn of the markets, and have something to say
                for market in markets:
                    value = codec.encode(running.batch(market, number))
                    place = partition_of(market, PARTITIONS)
                    await producer.send(CANDLES.name, value, key=market.encode(), partition=place)
            await producer.flush()
            await asyncio.sleep(15)
            clients = [
                await subscribed(f"{url.replace('http', 'ws')}/ws/v1", markets[first:][:CHANNELS])
                for first in range(0, count, CHANNELS)
            ]
            listening = [asyncio.create_task(running.listen(client)) for client in clients]
            for number in range(20, 23 + rounds):
                if number == 23:
                    running.latencies_ms.clear()
                await running.close(producer, number)
                await asyncio.sleep(0.5)
            for client in clients:
                await client.close()
        finally:
            for task in listening:
                task.cancel()
            for role in roles:
                role.terminate()
                await role.communicate()
    return running.latencies_ms


def main(markets: int, rounds: int, horizons: str, within_s: float) -> None:
    latencies_ms = asyncio.run(measure(markets, rounds, horizons, within_s))
    cuts = quantiles(latencies_ms, n=100)
    report(
        "forecasts.p99",
        cuts[98],
        "ms from candle closed to probability on WebSocket",
        packages=("chaintide", "faust-streaming", "aiokafka", "numpy"),
        p50=cuts[49],
        worst=max(latencies_ms),
        markets=markets,
        rounds=rounds,
        horizons=horizons,
        within_s=within_s,
        probabilities=len(latencies_ms),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--horizons", default="1,5,15", help="in candles, as the setting has them")
    parser.add_argument("--within-s", type=float, default=0.0, help="spread the candles of a round")
    arguments = parser.parse_args()
    main(arguments.markets, arguments.rounds, arguments.horizons, arguments.within_s)
