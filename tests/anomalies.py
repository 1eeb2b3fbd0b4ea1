"""Anomalies, and markets to find them in."""

import math
import random
from collections.abc import Iterable
from typing import Any

from candles import MARKET

from chaintide.agents.anomalies.market import MarketLogic
from chaintide.streams.anomalies import METHODOLOGY, Anomaly, AnomalyBatch, Reason
from chaintide.streams.records import Market, TradeBatch

SECOND_US = 1_000_000
SIZE_SCALE, PRICE_SCALE = 6, 4


def anomaly(second: int = 0, *, market: str = MARKET, **changes: Any) -> Anomaly:
    """Return an anomaly, with ``changes``."""
    fields: dict[str, Any] = {
        "anomaly_id": f"{market}|{second * SECOND_US}|7",
        "market": Market(market),
        "event": None,
        "time_us": second * SECOND_US,
        "kind": "size",
        "score": 0.875,
        "reasons": [Reason(feature="size", value=41.5, usual=0.1 + 0.2, words='"large"')],
        "trade_id": 2**62 + 7,
        "log": None,
        "block": None,
        "address": None,
        "status": "raised",
        "methodology": METHODOLOGY,
    }
    return Anomaly(**(fields | changes))


def told(*anomalies: Anomaly, generation: int = 1, offset: int = 0) -> AnomalyBatch:
    """Return ``anomalies`` as the batch of their market."""
    return AnomalyBatch(
        market=anomalies[0].market,
        generation=generation,
        offset=offset,
        anomalies=list(anomalies),
    )


class Street:
    """A market without anything strange: Poisson arrivals, log-normal sizes, a random walk."""

    def __init__(self, market: Market = MARKET, *, seed: int = 1, rate: float = 3.0) -> None:
        self.market = market
        self.rng = random.Random(seed)
        self.rate = rate
        self.time_us = SECOND_US
        self.price = 100.0
        self.next_id = 1
        self.people = 0

    def trades(self, number: int, *, per_message: int = 4, **changes: Any) -> list[TradeBatch]:
        """Return the next trades; ``people`` of them trade, ``block`` is where."""
        return [self.message(per_message, **changes) for _ in range(max(1, number // per_message))]

    def message(self, count: int, *, people: int = 0, block: int | None = None) -> TradeBatch:
        """Return the next trades as one message."""
        times, prices, sizes, traders = [], [], [], []
        for _ in range(count):
            self.time_us += round(self.rng.expovariate(self.rate) * SECOND_US)
            self.price *= math.exp(self.rng.gauss(0, 1e-4))
            times.append(self.time_us)
            prices.append(round(self.price * 10**PRICE_SCALE))
            sizes.append(round(self.rng.lognormvariate(0, 0.7) * 10**SIZE_SCALE))
            traders.append(f"0x{self.rng.randrange(people or 1):040x}")
        return self._batch(times, prices, sizes, traders if people else None, block)

    def one(
        self,
        *,
        size: float = 1.0,
        jump: float = 1.0,
        trader: str | None = None,
        block: int | None = None,
        after_us: int = SECOND_US,
    ) -> TradeBatch:
        """Return one trade that is as it is asked for."""
        self.time_us += after_us
        self.price *= jump
        prices, sizes = [round(self.price * 10**PRICE_SCALE)], [round(size * 10**SIZE_SCALE)]
        return self._batch(
            [self.time_us], prices, sizes, None if trader is None else [trader], block
        )

    def _batch(
        self,
        times: list[int],
        prices: list[int],
        sizes: list[int],
        traders: list[str] | None,
        block: int | None,
    ) -> TradeBatch:
        ids = list(range(self.next_id, self.next_id + len(times)))
        self.next_id += len(times)
        return TradeBatch(
            market=self.market,
            price_scale=PRICE_SCALE,
            size_scale=SIZE_SCALE,
            ids=ids,
            times_us=times,
            prices=prices,
            sizes=sizes,
            sides="b" * len(times),
            traders=traders,
            block=block,
            epoch=1,
        )


def feed(logic: MarketLogic, batches: Iterable[TradeBatch]) -> dict[str, Anomaly]:
    """Return the last form of each anomaly that ``batches`` raise."""
    return {one.anomaly_id: one for batch in batches for one in logic.on_trades(batch)}
