"""Candles a second on one core, through Kafka: ours and three others, on the same trades.

Topics are written before a program starts. A program runs on a core of its own; its rate is the
trades it applied between its first and its last result, by the times Kafka keeps of both. What
it wrote must count every trade once, or the script fails.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
from rig.kafka import FIGURES, PARTITIONS, SINGLES, Cluster, cluster
from rig.machine import cpu_s, leave_worker_core, pinned
from rig.report import report
from rig.trades import Figure, Flow

from chaintide.streams.intervals import INTERVALS
from chaintide.streams.records import CandleBatch
from chaintide.streams.topics import CANDLES, TRADES

QUIET = 200  # twentieths of a second without a new result: it is done
PACKAGES = ("chaintide", "faust-streaming", "quixstreams", "bytewax")
_batches = msgspec.json.Decoder(CandleBatch)
_figures = msgspec.json.Decoder(Figure)


@dataclass(frozen=True, slots=True)
class Program:
    """Something that makes candles, and the load that keeps it busy for some seconds."""

    name: str
    flow: Flow
    source: str
    target: str
    count: Callable[[Iterable[bytes]], int]


def count_ours(values: Iterable[bytes]) -> int:
    """Return how many trades the newest candles hold, the same at every interval."""
    newest: dict[tuple[str, str, int], int] = {}
    for value in values:
        for candle in _batches.decode(value).candles:
            newest[candle.market, candle.interval, candle.open_time_ms] = candle.trades
    sums = Counter[str]()
    for (_market, interval, _open), trades in newest.items():
        sums[interval] += trades
    (count,) = {sums[interval] for interval in INTERVALS}
    return count


def count_figures(values: Iterable[bytes]) -> int:
    """Return how many trades the newest candle of every market and minute holds."""
    newest: dict[tuple[str, int], int] = {}
    for figure in map(_figures.decode, values):
        newest[figure.market, figure.open_ms] = figure.trades
    return sum(newest.values())


def ours(trades: int, per_message: int) -> Program:
    flow = Flow(trades, per_message=per_message)
    return Program("ours", flow, TRADES.name, CANDLES.name, count_ours)


def peer(name: str, trades: int) -> Program:
    return Program(name, Flow(trades, per_message=1), SINGLES, FIGURES, count_figures)


async def measure(program: Program) -> tuple[float, float]:
    """Return the trades a second that ``program`` applied, and the share of its core it used."""
    async with cluster() as on:
        on.write(program.source, program.flow.messages())
        used_s = await _run(program, on)
        results = await on.read(program.target)
        started = on.home / "started"
        first_ms = started.stat().st_mtime * 1000 if started.exists() else min(results)[0]
    if (counted := program.count(value for _, value in results)) != program.flow.trades:
        raise SystemExit(f"{program.name} counts {counted} of {program.flow.trades} trades")
    elapsed_s = (max(results)[0] - first_ms) / 1000
    return program.flow.trades / elapsed_s, used_s / elapsed_s


async def _run(program: Program, on: Cluster) -> float:
    """Run ``program`` until it has written nothing more for a while; return what it used."""
    written = quiet = 0
    first_s = last_s = 0.0
    with pinned(program.name, on.kafka.bootstrap, cwd=on.home) as child:
        async for count in on.watch(program.target):
            if child.poll() is not None:
                break
            if count == written:
                quiet += bool(count)
            else:
                last_s, quiet, written = cpu_s(child.pid), 0, count
                first_s = first_s or last_s
            if quiet == QUIET:
                break
        if child.poll() not in {None, 0}:
            raise SystemExit((on.home / f"{program.name}.log").read_text())
    return last_s - first_s


async def median(program: Program, rounds: int) -> tuple[float, float]:
    """Return the measurement in the middle of ``rounds``."""
    found = sorted([await measure(program) for _ in range(rounds)])
    return found[rounds // 2]


async def main(rounds: int, scale: float, only: str) -> None:
    leave_worker_core()
    peers = [
        peer("naive_faust", int(40_000 * scale)),
        peer("quix", int(200_000 * scale)),
        peer("bytewax_flow", int(600_000 * scale)),
    ]
    programs = [
        *peers,
        ours(int(100_000 * scale), 1),
        ours(int(3_000_000 * scale), 50),
        ours(int(4_000_000 * scale), 200),
    ]
    rates: dict[str, float] = {}
    for program in programs:
        if only not in program.name:
            continue
        value, share = await median(program, rounds if program.name == "ours" else 1)
        ratio = {name: value / other for name, other in rates.items()}
        if program in peers:
            rates[program.name] = value
        report(
            f"candles.{program.name}",
            value,
            "trades/s on one core",
            ratio=ratio,
            packages=PACKAGES,
            trades=program.flow.trades,
            per_message=program.flow.per_message,
            markets=program.flow.markets,
            partitions=PARTITIONS,
            core_share=share,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="ours: runs, of which the median")
    parser.add_argument("--scale", type=float, default=1.0, help="of the load")
    parser.add_argument("--only", default="", help="the programs to measure")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, arguments.scale, arguments.only))
