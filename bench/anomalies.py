"""What scoring anomalies costs and finds, beside river's half-space trees on every trade.

One JSON line: trades a second of one core, of trades as a busy exchange sends them; the share of
injected anomalies that is found, and false alarms a day in untouched hours of simulated markets.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from msgspec.structs import replace
from rig.report import report
from rig.trades import Flow
from river.anomaly import HalfSpaceTrees

from chaintide.agents.anomalies.market import MarketLogic
from chaintide.streams.records import Market, TradeBatch
from chaintide.streams.simulator.trades import MARKETS, SimMarket, SimTrade, Tape

HOUR_MS = 3_600_000
BUDGET = 2.0
UNIT = 10**8
WARM_HOURS, EVERY_MS = 6, 3_600_000
NEAR_US = 12_000_000
Judge = Callable[[TradeBatch], list[int]]  # times of what is raised


def made(market: SimMarket, hours: int, rate: float, seed: int) -> list[TradeBatch]:
    """Return simulated trades, in messages of 100 ms."""
    tape = Tape(market, seed=seed, start_us=0, rate=rate)
    steps = (tape.step(until_ms * 1000) for until_ms in range(100, hours * HOUR_MS + 1, 100))
    return [batch_of(market, rows) for rows in steps if rows]


def batch_of(market: SimMarket, rows: Sequence[SimTrade]) -> TradeBatch:
    """Return trades of the simulated exchange as its feed writes them."""
    return TradeBatch(
        market=Market(f"bench:{market.symbol}"),
        price_scale=market.price_scale,
        size_scale=market.size_scale,
        ids=[row.trade_id for row in rows],
        times_us=[row.time_us for row in rows],
        prices=[row.price for row in rows],
        sizes=[row.size for row in rows],
        sides="".join(row.side for row in rows),
    )


@dataclass(frozen=True, slots=True)
class Injected:
    """Trades with something strange in them every ten minutes, and when."""

    batches: list[TradeBatch]
    times_us: list[int]


def injected(kind: str, batches: Sequence[TradeBatch]) -> Injected:
    """Return ``batches`` with anomalies of one kind after the first hours."""
    times_us, due_ms = [], WARM_HOURS * HOUR_MS
    if kind == "size":  # in the simulated market itself such a trade comes every few hours
        batches = log_normal(batches)
    spoilt = list(batches)
    factor = 1.0
    for place, batch in enumerate(batches):
        if factor != 1.0:
            spoilt[place] = replace(batch, prices=[round(p * factor) for p in batch.prices])
        if batch.times_us[0] < due_ms * 1000:
            continue
        due_ms += EVERY_MS
        times_us.append(batch.times_us[0])
        match kind:
            case "size":
                spoilt[place] = replace(batch, sizes=[100 * UNIT, *batch.sizes[1:]])
            case "burst":
                spoilt[place] = burst(batch, 300)
            case _:
                factor *= 1.05 if len(times_us) % 2 else 1 / 1.05
                spoilt[place] = replace(batch, prices=[round(p * factor) for p in batch.prices])
    return Injected(spoilt, times_us)


def log_normal(batches: Sequence[TradeBatch]) -> list[TradeBatch]:
    """Return the same trades with sizes whose logarithms are Gaussian, of median ``UNIT``."""
    rng = Random(1)
    return [
        replace(batch, sizes=[round(UNIT * rng.lognormvariate(0, 0.8)) for _ in batch.sizes])
        for batch in batches
    ]


def burst(batch: TradeBatch, count: int) -> TradeBatch:
    """Return so many trades like the last one of ``batch`` after it, within its 100 ms."""
    last_us = batch.times_us[-1]
    room = max(1, 100_000 - last_us % 100_000)
    return replace(
        batch,
        ids=[*batch.ids, *(batch.ids[-1] + 1 + n for n in range(count))],
        times_us=[*batch.times_us, *(last_us + n * room // (count + 1) for n in range(count))],
        prices=[*batch.prices, *[batch.prices[-1]] * count],
        sizes=[*batch.sizes, *[batch.sizes[-1]] * count],
        sides=batch.sides + batch.sides[-1] * count,
    )


def ours() -> Judge:
    """Return the judge that is used."""
    logic = MarketLogic(Market("bench:X"), None, BUDGET)
    return lambda batch: [one.time_us for one in logic.on_trades(batch)]


class Trees:
    """River's half-space trees on every trade, with the threshold of the same budget.

    Its threshold is chosen with hindsight, from the same hours without anything injected.
    """

    def __init__(self, limit: float = 2.0) -> None:
        self.trees = HalfSpaceTrees(n_trees=15, height=6, window_size=250, seed=1)
        self.limit = limit
        self.scores: list[float] = []
        self._price, self._time_us, self._gap, self._size = 0.0, 0, 0.0, 0.0

    def __call__(self, batch: TradeBatch) -> list[int]:
        """Return the times of trades whose score is above the limit."""
        found = []
        for time_us, price, size in zip(batch.times_us, batch.prices, batch.sizes, strict=True):
            x = self._features(time_us, float(price), math.log(size))
            score = float(self.trees.score_one(x))  # type: ignore[no-untyped-call]
            self.trees.learn_one(x)  # type: ignore[no-untyped-call]
            self.scores.append(score)
            if score >= self.limit:
                found.append(time_us)
        return found

    def _features(self, time_us: int, price: float, size: float) -> dict[str, float]:
        gap = math.log1p(max(0, time_us - self._time_us) / 1e3)
        self._gap += (gap - self._gap) / 8
        self._size += (size - self._size) / 500
        move = abs(math.log(price / (self._price or price))) * 1e4
        self._price, self._time_us = price, time_us
        row = {"size": size - self._size, "pace": 4 - self._gap, "impact": math.log1p(move)}
        return {name: 0.5 + 0.5 * math.tanh(value / 4) for name, value in row.items()}


def river_limit(calm: Sequence[TradeBatch]) -> float:
    """Return the score of the peer that calm hours exceed as seldom as the budget says."""
    trees = Trees()
    for batch in calm:
        trees(batch)
    days = (calm[-1].times_us[-1] - calm[0].times_us[0]) / 8.64e10
    ranked = sorted(trees.scores[2_000:], reverse=True)
    return ranked[max(1, round(BUDGET * days))] + 1e-12


def share_found(judge: Judge, trial: Injected) -> float:
    """Return the share of injected anomalies that something is raised for."""
    raised = [time_us for batch in trial.batches for time_us in judge(batch)]
    found = [any(0 <= at - time_us < NEAR_US for at in raised) for time_us in trial.times_us]
    return sum(found) / len(found)


def false_alarms(judge: Judge, batches: Sequence[TradeBatch]) -> float:
    """Return alarms a day, those within half a minute counted once."""
    episodes, last_us = 0, -NEAR_US * 3
    for time_us in (at for batch in batches for at in judge(batch)):
        if time_us - last_us > 30_000_000:
            episodes, last_us = episodes + 1, time_us
    return episodes / (batches[-1].times_us[-1] / 8.64e10)


def speed(trades: int, judges: dict[Market, Judge]) -> float:
    """Return trades a second in messages of 50 of 100 markets."""
    batches = list(Flow(trades=trades, markets=len(judges)).batches())
    began_s = time.perf_counter()
    for batch in batches:
        judges[batch.market](batch)
    return sum(map(len, batches)) / (time.perf_counter() - began_s)


def main(hours: int, rate: float) -> None:
    names = [batch.market for batch in Flow(trades=5_000).batches()]
    fast = speed(2_000_000, {name: ours() for name in names})
    single = speed_of_singles(300_000, {name: ours() for name in names})
    slow = speed(20_000, {name: Trees() for name in names})
    calm = made(MARKETS[0], hours, rate, seed=1)
    figures: dict[str, float] = {"false_alarms_a_day": false_alarms(ours(), calm)}
    limit = river_limit(calm)
    figures["river_false_alarms_a_day"] = false_alarms(Trees(limit), calm)
    for kind in ("size", "burst", "jump"):
        trial = injected(kind, calm)
        figures[f"found_{kind}"] = share_found(ours(), trial)
        figures[f"river_found_{kind}"] = share_found(Trees(limit), trial)
    report(
        "anomalies.trades",
        fast,
        "trades/s",
        ratio={"river_half_space_trees": fast / slow},
        packages=("chaintide", "river"),
        one_trade_a_message=single,
        hours=hours,
        trades_a_second=rate,
        budget_a_day=BUDGET,
        **figures,
    )


def speed_of_singles(trades: int, judges: dict[Market, Judge]) -> float:
    """Return trades a second where each is a message of its own."""
    flow = Flow(trades=trades, markets=len(judges), per_message=1)
    batches = list(flow.batches())
    began_s = time.perf_counter()
    for batch in batches:
        judges[batch.market](batch)
    return len(batches) / (time.perf_counter() - began_s)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--rate", type=float, default=1.0)
    arguments = parser.parse_args()
    main(arguments.hours, arguments.rate)
