"""The same made-up trades for every program: busy markets, ids in order, exact decimals."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import msgspec

from chaintide.streams import codec, decimals
from chaintide.streams.records import Market, Trade, TradeBatch

STEP_US = 20_000  # between two trades of a market: 50 a second
PRICE_SCALE, SIZE_SCALE = 2, 8


@dataclass(frozen=True, slots=True)
class Flow:
    """``trades`` trades spread evenly over ``markets`` markets, the newest of them now."""

    trades: int
    markets: int = 100
    per_message: int = 50

    def batches(self) -> Iterator[TradeBatch]:
        """Yield the trades, oldest first, market after market."""
        rounds = self.trades // (self.markets * self.per_message)
        start_us = time.time_ns() // 1000 - rounds * self.per_message * STEP_US
        random = Random(1)
        prices = [
            [random.randint(9_000_00, 9_100_00) for _ in range(self.per_message)] for _ in "ab"
        ]
        sizes = [random.randint(1, 10**9) for _ in range(self.per_message)]
        sides = "".join(random.choices("bs", k=self.per_message))
        names = [Market(f"bench:M{n:03d}-USD") for n in range(self.markets)]
        for turn in range(rounds):
            first = turn * self.per_message
            ids = list(range(first + 1, first + self.per_message + 1))
            times = [start_us + n * STEP_US for n in ids]
            for name in names:
                yield TradeBatch(
                    market=name,
                    price_scale=PRICE_SCALE,
                    size_scale=SIZE_SCALE,
                    ids=ids,
                    times_us=times,
                    prices=prices[turn % 2],
                    sizes=sizes,
                    sides=sides,
                )

    def messages(self) -> Iterator[tuple[Market, bytes]]:
        """Yield key and value of every message; at one a message, in the form of one trade."""
        for batch in self.batches():
            if self.per_message > 1:
                yield batch.market, codec.encode(batch)
            else:
                yield batch.market, codec.encode(_single(batch))


def _single(batch: TradeBatch) -> Trade:
    return Trade(
        market=batch.market,
        time_us=batch.times_us[0],
        price=decimals.text(batch.prices[0], PRICE_SCALE),
        size=decimals.text(batch.sizes[0], SIZE_SCALE),
        trade_id=batch.ids[0],
        side="buy" if batch.sides == "b" else "sell",
    )


class Figure(msgspec.Struct, frozen=True):
    """The candle of one market and minute as the other programs write it."""

    market: str
    open_ms: int
    trades: int
