"""Believable swaps: bursts of them, heavy-tailed sizes, prices that wander and are pulled back.

Each token has a fair price, a random walk that only the simulator knows. The further the market is
from it, the more traders lean towards it, so prices move but do not run away.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from chaintide.contracts.contract import contract_at
from chaintide.contracts.deployment import DOLLAR, NEVER, Action, Deployment, Listing, People
from chaintide.contracts.scene import Holding, Pool, Scene

_WANDER: Final = 0.002  # of the fair price, each block
_LEAN: Final = 8.0  # how strongly a gap between price and fair price makes traders lean
_MOST_LEAN: Final = 0.35
_TYPICAL: Final = 0.0008  # of the pool, half of the trades are smaller
_SPREAD: Final = 1.2  # of the logarithm of sizes
_LARGEST: Final = 0.05  # of the pool
_SLIPPAGE: Final = 0.9  # of what was quoted, others in the same block come first
_PATIENCE_S: Final = 600


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants to trade which listing, and how much of the pool."""

    trader: str
    listing: int
    size: float


@dataclass(slots=True)
class Trading:
    """Who trades what, from random numbers and what the pools hold."""

    people: People
    deployed: Deployment
    trades_per_block: float
    _fair: list[float] = field(default_factory=list[float])

    def orders(self, rng: np.random.Generator) -> list[Order]:
        """Return who will trade in one block, busy or quiet, before anybody looks at prices."""
        # A gamma-distributed mood varies more than Poisson alone.
        count = int(rng.poisson(self.trades_per_block * rng.gamma(2.0, 0.5)))
        people, last = self.people.traders, len(self.deployed.listings) - 1
        traders = rng.integers(len(people), size=count)
        listings = np.minimum(rng.exponential(1.5, count).astype(int), last)
        sizes = np.minimum(_TYPICAL * np.exp(rng.normal(0.0, _SPREAD, count)), _LARGEST)
        return [
            Order(people[int(trader)], int(listing), float(size))
            for trader, listing, size in zip(traders, listings, sizes, strict=True)
        ]

    def swaps(
        self, orders: Sequence[Order], scene: Scene, rng: np.random.Generator
    ) -> list[Action]:
        """Return the swaps of one block, in order."""
        fair = self._fair or [pool.price for pool in scene.pools]
        moves = np.exp(rng.normal(0.0, _WANDER, len(fair)))
        self._fair = [price * float(move) for price, move in zip(fair, moves, strict=True)]
        purse = dict(scene.holdings)
        return [self._swap(order, scene, purse, rng) for order in orders]

    def liquidity(self, scene: Scene, rng: np.random.Generator) -> list[Action]:
        """Return what the market maker does now and then: a little more liquidity, or less."""
        if rng.random() >= 0.05:
            return []
        number, maker = int(rng.integers(len(scene.pools))), self.people.named("maker")
        pool, listing = scene.pools[number], self.deployed.listings[number]
        if rng.random() < 0.5:
            shares = math.isqrt(pool.tokens * pool.dollars) // 200
            return [_order(maker, listing, "removeLiquidity", (shares, 0, 0, NEVER))]
        offer = (pool.tokens // 200, pool.dollars // 200, 0, NEVER)
        return [_order(maker, listing, "addLiquidity", offer)]

    def _swap(
        self, order: Order, scene: Scene, purse: dict[Holding, int], rng: np.random.Generator
    ) -> Action:
        pool, listing = scene.pools[order.listing], self.deployed.listings[order.listing]
        gap = math.log(self._fair[order.listing] / pool.price)
        lean = max(-_MOST_LEAN, min(_LEAN * gap, _MOST_LEAN))
        held = purse[order.trader, order.listing]
        sold = min(int(pool.tokens * order.size), held)
        is_dust = sold * pool.dollars < pool.tokens * DOLLAR
        if is_dust or rng.random() < 0.5 + lean:
            return _buy(order.trader, listing, pool, int(pool.dollars * order.size), scene.time_s)
        purse[order.trader, order.listing] = held - sold
        return _sell(order.trader, listing, pool, sold, scene.time_s)


def _buy(trader: str, listing: Listing, pool: Pool, dollars: int, time_s: int) -> Action:
    least = int(dollars * pool.tokens / (pool.dollars + dollars) * _SLIPPAGE)
    return _order(trader, listing, "buy", (dollars, least, time_s + _PATIENCE_S))


def _sell(trader: str, listing: Listing, pool: Pool, tokens: int, time_s: int) -> Action:
    least = int(tokens * pool.dollars / (pool.tokens + tokens) * _SLIPPAGE)
    return _order(trader, listing, "sell", (tokens, least, time_s + _PATIENCE_S))


def _order(trader: str, listing: Listing, function: str, terms: tuple[int, ...]) -> Action:
    market = contract_at(f"{listing.kind.title()}Market", listing.market)
    return Action(trader, market, function, (listing.market_id, *terms))
