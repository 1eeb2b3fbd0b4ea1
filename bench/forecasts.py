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
import re
import sys
import time
from collections.abc import Sequence
from statistics import quantiles

import uvloop
from confluent_kafka import Producer
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from rig.candles import closed
from rig.kafka import PARTITIONS, Cluster, cluster
from rig.machine import BENCH
from rig.report import report

from chaintide.streams import codec
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import CandleBatch, Market
from chaintide.streams.topics import CANDLES

CHANNELS = 125  # of a client
LONGEST_S = 10.0
ISSUED, GRANTED = b'"status":"issued"', b'"ok":true'
SAID = re.compile(rb'"market":"([^"]+)","interval":"1m","horizon":\d+,"issued_at":(\d+)')


class Client(WSListener):
    """Counts predictions as they come; they are read when nothing is timed."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self.count = 0
        self.granted = 0
        self.is_cut = False

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002  picows calls it
        if frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            self.frames.append((time.perf_counter(), payload))
            self.count += payload.count(ISSUED)
            self.granted += payload.count(GRANTED)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        self.is_cut = True

    def read(self) -> list[tuple[float, str, int]]:
        """Return when each prediction came, of which market and candle, and forget them."""
        found = [
            (arrived_s, market.decode(), int(issued_at))
            for arrived_s, payload in self.frames
            for market, issued_at in SAID.findall(payload)
        ]
        self.frames.clear()
        self.count = 0
        return found


class Rounds:
    """Candles of all markets, minute by minute, and when what was learned from them arrived."""

    def __init__(self, markets: list[Market], horizons: int, within_s: float) -> None:
        self.markets = markets
        self.horizons = horizons
        self.within_s = within_s
        self.chance = random.Random(1)
        self.prices = dict.fromkeys(markets, 100.0)
        # The first 20 end about now.
        self.first = time.time_ns() // 1_000_000 // MINUTE_MS - 20
        self.sent_s: dict[tuple[str, int], float] = {}
        self.latencies_ms: list[float] = []

    def batch(self, market: Market, number: int) -> CandleBatch:
        self.prices[market] *= 1 + self.chance.gauss(0, 0.001)
        candle = closed(market, (self.first + number) * MINUTE_MS, self.prices[market])
        return CandleBatch(market=market, generation=1, offset=number, candles=[candle])

    async def send(self, producer: Producer, number: int) -> None:
        """Send the candles of all markets, at once or spread evenly."""
        records = [
            (market, partition_of(market, PARTITIONS), codec.encode(self.batch(market, number)))
            for market in self.markets
        ]
        issued = (self.first + number + 1) * MINUTE_MS
        began_s = time.perf_counter()
        for place, (market, home, value) in enumerate(records):
            due_s = began_s + self.within_s * place / len(records)
            if (wait_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            self.sent_s[market, issued] = time.perf_counter()
            producer.produce(CANDLES.name, value, market.encode(), home)
            producer.poll(0)

    async def close(self, producer: Producer, clients: Sequence[Client], number: int) -> None:
        """Let all markets close a candle, and wait until all has arrived or 10 s are over."""
        await self.send(producer, number)
        latest_s = time.perf_counter() + LONGEST_S
        left = wanted = len(self.markets) * self.horizons
        while left > 0 and time.perf_counter() < latest_s:
            await asyncio.sleep(0.002)
            left = wanted - sum(client.count for client in clients)
        if any(client.is_cut for client in clients):
            raise SystemExit("the server has closed a connection")
        if left > 0:
            print(f"{number}: {left} probabilities did not arrive", file=sys.stderr)
        for client in clients:
            for arrived_s, market, issued_at in client.read():
                if (sent_s := self.sent_s.get((market, issued_at))) is not None:
                    self.latencies_ms.append((arrived_s - sent_s) * 1_000)


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


async def subscribed(url: str, markets: list[Market]) -> tuple[WSTransport, Client]:
    """Return a client that has been granted the channels of ``markets``."""
    transport, client = await ws_connect(Client, url)
    parts = [markets[first : first + 25] for first in range(0, len(markets), 25)]
    for number, part in enumerate(parts):
        channels = [{"ch": f"prob:{market}:1m"} for market in part]
        request = {"id": number, "op": "subscribe", "channels": channels}
        transport.send(WSMsgType.TEXT, json.dumps(request).encode())
        await asyncio.sleep(0.25)  # five requests a second are granted
    assert isinstance(client, Client)
    await asyncio.sleep(1)
    if client.granted != len(parts):
        raise SystemExit(f"refused: {client.frames[-1:]}")
    client.read()
    return transport, client


async def measure(count: int, rounds: int, horizons: str, within_s: float) -> list[float]:
    markets = [Market(f"bench:M{n:04d}-USD") for n in range(count)]
    async with cluster() as on:
        producer = Producer({"bootstrap.servers": on.kafka.bootstrap, "linger.ms": 1})
        roles = [
            await start(on, horizons, "forecast"),
            await start(on, horizons, "serve", "--port", "0"),
        ]
        try:
            running = Rounds(markets, len(horizons.split(",")), within_s)
            assert roles[1].stdout is not None
            url = (await roles[1].stdout.readline()).decode().strip()
            for number in range(20):  # they learn of the markets, and have something to say
                await running.send(producer, number)
            producer.flush()
            await asyncio.sleep(15)
            parts = [markets[first:][:CHANNELS] for first in range(0, count, CHANNELS)]
            address = f"{url.replace('http', 'ws')}/ws/v1"
            lines = await asyncio.gather(*(subscribed(address, part) for part in parts))
            for number in range(20, 23 + rounds):
                if number == 23:
                    running.latencies_ms.clear()
                await running.close(producer, [client for _, client in lines], number)
                await asyncio.sleep(0.5)
            for transport, _ in lines:
                transport.disconnect()
        finally:
            for role in roles:
                role.terminate()
                await role.communicate()
    return running.latencies_ms


def main(markets: int, rounds: int, horizons: str, within_s: float) -> None:
    latencies_ms = uvloop.run(measure(markets, rounds, horizons, within_s))
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
