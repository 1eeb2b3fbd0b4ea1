"""Believable trades from a seed: bursts, sweeps, restless volatility, heavy tails.

Orders arrive as a Hawkes process (every order raises the chance of the next), each sweeps one or
more resting orders, the mid price is a random walk whose log-volatility reverts to its mean, and
a trade happens at the bid or the ask. The same seed, market and start give the same trades,
however the time is cut into steps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Final, Literal

import numpy as np

_BRANCHING: Final = 0.7  # share of orders that an earlier order provoked
_DECAY_PER_S: Final = 1.0  # how fast that excitement fades
_SWEEP: Final = 0.6  # chance that an order ends with this trade
_SAME_TIME: Final = 0.8  # chance that the next trade of a sweep has the same microsecond
_SAME_SIDE: Final = 0.7  # chance that an order follows the side of the one before
_MOOD_PER_S: Final = 1 / 600  # how fast log-volatility reverts
_MOOD: Final = 0.8  # its standard deviation
_HALF_SPREAD: Final = 5e-5  # of the price, in calm times
_NEXT_LEVEL: Final = 0.5  # chance that a sweep has emptied a price level
_LEVEL: Final = 1e-5  # distance to the next one, of the price
_MARKET_ORDER: Final = 0.4
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class SimMarket:
    """What is traded: prices are integers at ``price_scale``, sizes at ``size_scale``."""

    symbol: str
    price: int
    price_scale: int
    typical_size: float
    daily_volatility: float = 0.03
    size_scale: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SimTrade:
    """One execution; ``side`` is the taker's, ``order_type`` market or limit."""

    trade_id: int
    time_us: int
    price: int
    size: int
    side: Literal["b", "s"]
    order_type: Literal["m", "l"]


MARKETS: Final = (
    SimMarket(symbol="BTC-USD", price=1_054_336, price_scale=1, typical_size=0.004),
    SimMarket(symbol="ETH-USD", price=357_245, price_scale=2, typical_size=0.08),
    SimMarket(symbol="SOL-USD", price=16_732, price_scale=2, typical_size=1.5),
    SimMarket(symbol="XRP-USD", price=252_417, price_scale=5, typical_size=150.0),
    SimMarket(symbol="ADA-USD", price=587_312, price_scale=6, typical_size=400.0),
    SimMarket(symbol="DOGE-USD", price=1_803_451, price_scale=7, typical_size=1_500.0),
    SimMarket(symbol="LINK-USD", price=1_612_345, price_scale=5, typical_size=12.0),
    SimMarket(symbol="DOT-USD", price=32_154, price_scale=4, typical_size=60.0),
)


class Tape:
    """The trades of one market, ``rate`` a second on average, from ``start_us`` on.

    The first id is the start in milliseconds, so below 1,000 trades a second a later start
    never uses an id again.
    """

    def __init__(self, market: SimMarket, *, seed: int, start_us: int, rate: float) -> None:
        self.market = market
        self._orders_per_s = rate * _SWEEP
        self._rng = np.random.default_rng([seed, start_us, *market.symbol.encode()])
        self._trades = self._endless(start_us)
        self._next = next(self._trades)

    def step(self, until_us: int) -> list[SimTrade]:
        """Return the trades since the last step whose time is before ``until_us``.

        >>> tape = Tape(MARKETS[0], seed=1, start_us=0, rate=5.0)
        >>> first, *rest = tape.step(10_000_000)
        >>> tape.step(10_000_000)
        []
        """
        trades = []
        while self._next.time_us < until_us:
            trades.append(self._next)
            self._next = next(self._trades)
        return trades

    def _endless(self, start_us: int) -> Iterator[SimTrade]:
        rng = self._rng
        trade_ids = count(start_us // 1000)
        time_us, excitement, mood, side = start_us, 0.0, 0.0, 1
        log_price = math.log(self.market.price)
        deviation = self.market.daily_volatility / math.sqrt(_DAY_S)
        while True:
            wait_s = self._wait_s(excitement)
            time_us += max(1, round(wait_s * 1e6))
            excitement = excitement * math.exp(-_DECAY_PER_S * wait_s) + _BRANCHING * _DECAY_PER_S
            kept = math.exp(-_MOOD_PER_S * wait_s)
            mood = mood * kept + _MOOD * math.sqrt(1 - kept * kept) * rng.standard_normal()
            log_price += deviation * math.exp(mood) * math.sqrt(wait_s) * rng.standard_normal()
            side = side if rng.random() < _SAME_SIDE else -side
            touch = math.exp(log_price + side * _HALF_SPREAD * math.exp(mood))
            for trade in self._sweep(trade_ids, time_us, touch, side):
                yield trade
                time_us = trade.time_us

    def _sweep(
        self, trade_ids: Iterator[int], time_us: int, touch: float, side: int
    ) -> Iterator[SimTrade]:
        """Yield the trades of one order, each at the price of the last or worse for the taker."""
        rng, size_unit = self._rng, 10**self.market.size_scale
        order_type: Literal["m", "l"] = "m" if rng.random() < _MARKET_ORDER else "l"
        price = math.ceil(touch) if side > 0 else math.floor(touch)
        for trade_id in islice(trade_ids, int(rng.geometric(_SWEEP))):
            size = self.market.typical_size * rng.lognormal() * (0.2 + rng.pareto(1.6))
            yield SimTrade(
                trade_id=trade_id,
                time_us=time_us,
                price=max(1, price),
                size=max(1, round(size * size_unit)),
                side="b" if side > 0 else "s",
                order_type=order_type,
            )
            if rng.random() >= _SAME_TIME:
                time_us += int(rng.integers(1, 50))
            if rng.random() < _NEXT_LEVEL:
                price += side * math.ceil(rng.exponential(_LEVEL * touch))

    def _wait_s(self, excitement: float) -> float:
        """Return the exact time to the next order of a Hawkes process with exponential decay."""
        fresh_s = self._rng.exponential(1 / (self._orders_per_s * (1 - _BRANCHING)))
        reach = -_DECAY_PER_S * self._rng.exponential()
        provoked = 1 + reach / excitement if excitement else 0.0
        return min(fresh_s, -math.log(provoked) / _DECAY_PER_S) if provoked > 0 else fresh_s
