"""Do stream and history agree? The whole system, trading with faults, watched from outside.

A client keeps every closed candle that the WebSocket sends; in the end each must be in REST, as it
was sent. Faults are thrown at the simulated exchange all the while, so there are corrections.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen

from rig.report import report
from websockets.asyncio.client import connect

FAULTS = ("drop", "freeze", "replay", "skip", "reorder", "duplicate", "malformed", "rate_limit")
INTERVALS = ("1m", "5m", "15m", "1h")
START_S = 120
SETTLE_S = 15  # corrections under way, and the sink behind them
Key = tuple[str, str, int]


def fetch(url: str, *, method: str = "GET") -> object:
    with urlopen(Request(url, method=method), timeout=30) as answer:
        return json.loads(answer.read() or b"null")


async def until(text: str, log: Path) -> str:
    """Wait for what ``up`` prints and return it."""
    async with asyncio.timeout(START_S):
        while not (found := re.search(text, log.read_text())):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.2)
    return found[1]


async def markets_of(api: str) -> list[str]:
    async with asyncio.timeout(START_S):
        while True:
            try:
                answer = await asyncio.to_thread(fetch, f"{api}/v1/markets")
            except OSError:
                answer = None
            found = answer["markets"] if isinstance(answer, dict) else []
            if len(found) == 8:
                return sorted(row["market"] for row in found)
            await asyncio.sleep(0.5)


async def throw_faults(exchange: str, every_s: float, thrown: list[str]) -> None:
    rng = random.Random(1)
    while True:
        await asyncio.sleep(rng.expovariate(1 / every_s))
        name = rng.choice(FAULTS)
        await asyncio.to_thread(fetch, f"{exchange}/control/faults/{name}", method="POST")
        thrown.append(name)


async def collect(api: str, markets: list[str], closed: dict[Key, dict], lost: list[str]) -> None:
    """Keep the newest form of every closed candle; note every break in the chain of updates."""
    url = api.replace("http", "ws") + "/ws/v1"
    wanted = [
        {"ch": f"candles:{market}:{interval}", "policy": "buffer"}
        for market in markets
        for interval in INTERVALS
    ]
    last: dict[str, int] = {}
    async with connect(url, compression=None, max_size=None) as client:
        await client.send(json.dumps({"op": "subscribe", "channels": wanted}))
        async for frame in client:
            for line in frame.split("\n"):
                message = json.loads(line)
                for result in message.get("results", ()):
                    last[result["ch"]] = result["seq"]
                if message.get("type") not in {"update", "correction"}:
                    continue
                if message["prev"] != last[message["ch"]]:
                    lost.append(message["ch"])
                last[message["ch"]] = message["seq"]
                candle = message["data"]
                if candle["status"] != "open":
                    key = candle["market"], candle["interval"], candle["open_time_ms"]
                    closed[key] = candle


def mismatches(api: str, closed: dict[Key, dict]) -> list[Key]:
    """Return the candles that REST has in another form, or not at all."""
    wrong: list[Key] = []
    for market, interval in {key[:2] for key in closed}:
        times = sorted(key[2] for key in closed if key[:2] == (market, interval))
        query = f"market={market}&interval={interval}&start={times[0]}&end={times[-1] + 1}"
        answer = fetch(f"{api}/v1/candles?{query}&limit=1000")
        found = {row["open_time_ms"]: row for row in answer["candles"]}
        for open_ms in times:
            sent = closed[market, interval, open_ms]
            stored = found.get(open_ms, {})
            if any(stored.get(name) != value for name, value in sent.items()):
                wrong.append((market, interval, open_ms))
    return wrong


async def main(minutes: float, every_s: float) -> None:
    with tempfile.TemporaryDirectory() as home:
        log = Path(home) / "up.log"
        command = [sys.executable, "-m", "chaintide.api.cli", "up", "--demo"]
        command += ["--data-dir", f"{home}/data", "--http-port", "0"]
        with log.open("wb") as out:
            up = await asyncio.create_subprocess_exec(
                *command, stdout=out, stderr=out, env={**os.environ, "COLUMNS": "200"}
            )
        try:
            exchange = await until(r"(http://127\.0\.0\.1:\d+), Kraken", log)
            api = await until(r"(http://127\.0\.0\.1:\d+)/v1/markets", log)
            markets = await markets_of(api)
            closed: dict[Key, dict] = {}
            lost: list[str] = []
            thrown: list[str] = []
            collecting = asyncio.create_task(collect(api, markets, closed, lost))
            throwing = asyncio.create_task(throw_faults(exchange, every_s, thrown))
            await asyncio.wait({collecting, throwing}, timeout=minutes * 60)
            throwing.cancel()
            await asyncio.wait({collecting}, timeout=SETTLE_S)
            if collecting.done():
                await collecting
            collecting.cancel()
            wrong = await asyncio.to_thread(mismatches, api, closed)
        finally:
            up.send_signal(signal.SIGINT)
            await up.wait()
    report(
        "agreement.mismatches",
        len(wrong),
        "closed candles that stream and history have in different forms",
        packages=("chaintide", "websockets"),
        candles=len(closed),
        corrected=sum(candle["status"] == "corrected" for candle in closed.values()),
        undeclared_gaps=len(lost),
        faults=len(thrown),
        minutes=minutes,
    )
    if wrong or lost or not closed:
        raise SystemExit(f"no agreement: {wrong[:5]} {lost[:5]} of {len(closed)} candles")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--fault-every-s", type=float, default=8.0)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.minutes, arguments.fault_every_s))
