"""Closed candles of made-up markets, as columns for a learner."""

from collections.abc import Sequence

import numpy as np

from chaintide.agents.learning.bars import Bars
from chaintide.agents.learning.learner import Learner, Tick
from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.table import Floats, Ints
from chaintide.streams.records import Market

HOUR_MS = 3_600_000
START_MS = 1_700_000 * 1_000_000 // HOUR_MS * HOUR_MS


def bars(hours: Sequence[int] | Ints, rows: Sequence[int] | Ints, prices: Sequence[float]) -> Bars:
    """Return hourly candles that closed at ``prices``; the rest follows from them."""
    price = np.array(prices, dtype=np.float64)
    number = np.array(hours, dtype=np.int64)
    with np.errstate(all="ignore"):
        return Bars(
            rows=np.array(rows, dtype=np.int64),
            open_time_ms=START_MS + number * HOUR_MS,
            price=price,
            high=price * (1.0 + 0.001 * (number % 3)),
            low=price * (1.0 - 0.001 * (number % 4)),
            volume=1.0 + (number * 7 + np.array(rows)) % 5,
            bought=np.where(number % 6 == 0, np.nan, 0.25 + 0.125 * (number % 5)),
            quiet=number % 9 == 0,
            mid=np.zeros(len(price), dtype=np.bool_),
        )


def joined(parts: Sequence[Bars]) -> Bars:
    """Return several columns of candles as one."""
    names = Bars.__dataclass_fields__
    return Bars(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def paths(hours: int, markets: int, seed: int = 1) -> Floats:
    """Return prices ``[hours, markets]`` that wander."""
    rng = np.random.default_rng(seed)
    scale = 0.01 * np.exp(0.5 * np.sin(np.arange(hours) / 97.0))[:, None]
    return 100.0 * np.exp(np.cumsum(scale * rng.standard_t(4, (hours, markets)), axis=0))


def as_bars(prices: Floats) -> Bars:
    """Return the candles of ``prices`` hour by hour."""
    hours, markets = prices.shape
    places = np.repeat(np.arange(hours), markets)
    return bars(places, np.tile(np.arange(markets), hours), prices.ravel())


def new_learner(
    markets: int = 1, horizons: Sequence[int] = (1, 3), rules: Rules | None = None
) -> Learner:
    """Return a learner that knows ``markets`` markets and nothing of them."""
    learner = Learner("1h", horizons, rules)
    learner.rows([Market(f"test:M{number}") for number in range(markets)])
    return learner


def said(ticks: Sequence[Tick]) -> list[tuple[object, ...]]:
    """Return every prediction bit by bit, in an order that does not depend on grouping."""
    found = []
    for tick in ticks:
        one = tick.issued
        for place, row in enumerate(one.rows.tolist()):
            bits = [a[place].tobytes() for a in (one.p_up, one.p_flat, one.p_base, one.confidence)]
            rest = one.quantiles[place].tobytes(), one.evidence[place].tobytes()
            found.append((int(one.candles[place]), tick.horizon, row, *bits, *rest))
    return sorted(found)
