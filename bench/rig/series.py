"""Series to judge probabilities by: made up, whose best forecast is known, and real ones."""

import csv
import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from chaintide.agents.learning.bars import Bars
from chaintide.agents.learning.history import Recorded
from chaintide.agents.learning.learner import Learner
from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.table import Floats
from chaintide.streams.intervals import Interval
from chaintide.streams.recording import Row
from chaintide.streams.records import Market

HOUR_MS: Final = 3_600_000
MINUTE_US: Final = 60_000_000
PRICE_SCALE: Final = 4
_DATES: Final = ("%m/%d/%Y", "%d.%m.%Y %H:%M:%S.%f")


@dataclass(frozen=True)
class Made:
    """Prices ``[hours, markets]``, and the log-loss of who knows how they were made."""

    prices: Floats
    best: Floats


@dataclass(frozen=True)
class Learned:
    """Log-losses ``[labels, markets]`` of the learner and of the base rate."""

    learner: Learner
    loss: Floats
    base: Floats
    drifts: list[tuple[int, int]]  # hour, market

    def shares(self) -> dict[str, Floats]:
        """Return by level, for each market, the share of returns inside the interval."""
        horizon = next(iter(self.learner.horizons.values()))
        found = [horizon.scores.of(row) for row in range(len(self.learner.markets))]
        return {
            "50": np.array([one.coverage_50 for one in found]),
            "80": np.array([one.coverage_80 for one in found]),
            "90": np.array([one.coverage_90 for one in found]),
        }


def random_signs(hours: int, markets: int, seed: int) -> Made:
    """Return returns of changing size and tails, whose signs are coins."""
    rng = np.random.default_rng(seed)
    scale = 0.007 * np.exp(0.5 * np.sin(np.arange(hours) / 97.0))[:, None]
    size = np.abs(scale * rng.standard_t(4, (hours, markets)))
    signs = np.where(rng.random((hours, markets)) < 0.5, 1.0, -1.0)
    prices = 100.0 * np.exp(np.cumsum(size * signs, axis=0))
    return Made(prices, np.full((hours, markets), np.log(2.0)))


def known_signal(
    hours: int, markets: int, seed: int, strength: float = 0.5, flip: int | None = None
) -> Made:
    """Return prices of which the last return, in its volatility, says how likely they rise.

    From hour ``flip`` on it says the opposite.
    """
    rng = np.random.default_rng(seed)
    returns, best = np.zeros((hours, markets)), np.zeros((hours, markets))
    returns[0] = 0.01 * rng.standard_normal(markets)
    for hour in range(1, hours):
        sign = 1.0 if flip is None or hour < flip else -1.0
        lean = sign * strength * np.clip(returns[hour - 1] / 0.01, -4.0, 4.0)
        p_up = 1.0 / (1.0 + np.exp(-lean))
        rose = rng.random(markets) < p_up
        size = np.abs(0.01 * rng.standard_normal(markets))
        returns[hour] = np.where(rose, size, -size)
        best[hour] = -np.log(np.where(rose, p_up, 1.0 - p_up))
    return Made(100.0 * np.exp(np.cumsum(returns, axis=0)), best)


def bouncing(minutes: int, markets: int, seed: int, a_minute: int) -> Iterator[Row]:
    """Yield trades at bid or ask by coin, around mids of which nothing can be known (Roll).

    The mid moves about 0.1 % in 15 minutes, and half the spread is 0.04 %.
    """
    rng, trades = np.random.default_rng(seed), minutes * a_minute
    times_us = (np.arange(trades) * (MINUTE_US // a_minute)).tolist()
    for number in range(markets):
        market = Market(f"made:R{number}")
        mids = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.001 / (15 * a_minute) ** 0.5, trades)))
        is_buy = rng.random(trades) < 0.5
        traded = mids * np.where(is_buy, 1.0004, 0.9996)
        prices = np.rint(traded * 10**PRICE_SCALE).astype(np.int64).tolist()
        sizes = rng.integers(1, 100, trades).tolist()
        columns = zip(times_us, prices, sizes, is_buy.tolist(), strict=True)
        for trade, (time_us, price, size, buys) in enumerate(columns):
            side = "b" if buys else "s"
            yield Row(market, trade, time_us, (price, PRICE_SCALE), (size, 0), side, "")


def bars_at(prices: Floats, hour: int) -> Bars:
    """Return the candles of one hour, one for each market."""
    price, markets = prices[hour], prices.shape[1]
    return Bars(
        rows=np.arange(markets),
        open_time_ms=np.full(markets, hour * HOUR_MS),
        price=price,
        high=price * 1.001,
        low=price * 0.999,
        volume=np.full(markets, 1.0 + hour % 7),
        bought=np.full(markets, np.nan),
        quiet=np.zeros(markets, dtype=np.bool_),
        mid=np.zeros(markets, dtype=np.bool_),
    )


def learned(prices: Floats, rules: Rules | None = None) -> Learned:
    """Return how the learner does on ``prices``, one candle ahead."""
    hours, markets = prices.shape
    learner = Learner("1h", (1,), rules)
    learner.rows([Market(f"made:M{number}") for number in range(markets)])
    loss, base, drifts = [], [], []
    for hour in range(hours):
        for tick in learner.on_closed(bars_at(prices, hour)):
            for one in tick.settled:
                loss.append(one.graded.log_loss)
                base.append(one.graded.log_loss_base)
                drifts += [(hour, int(row)) for row in one.drifted]
    return Learned(learner, np.array(loss), np.array(base), drifts)


@dataclass(frozen=True)
class Real:
    """A real series."""

    name: str
    interval: Interval
    candles: list[Recorded]


def real_series() -> list[Real]:
    """Return EURUSD by the hour and two indices by the day, from packages of the tests."""
    eurusd = _data("gym_anytrading", "datasets/data/FOREX_EURUSD_1H_ASK.csv")
    return [
        Real("EURUSD", "1h", _read(eurusd, "Time")),
        Real("SP500", "1d", _read(_data("arch", "data/sp500/sp500.csv.gz"), "Date")),
        Real("NASDAQ", "1d", _read(_data("arch", "data/nasdaq/nasdaq.csv.gz"), "Date")),
    ]


def _data(package: str, name: str) -> Path:
    """Return the path of a package's data; the package itself is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is missing: make setup")
    return Path(spec.submodule_search_locations[0]) / name


def _read(path: Path, when: str) -> list[Recorded]:
    packed = path.read_bytes()
    lines = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode().splitlines()
    return [
        Recorded(
            market=Market(f"real:{path.name.partition('.')[0]}"),
            open_time_ms=_time_ms(row[when]),
            high=float(row["High"]),
            low=float(row["Low"]),
            close=float(row["Close"]),
            volume=float(row["Volume"]),
        )
        for row in csv.DictReader(lines)
    ]


def _time_ms(text: str) -> int:
    for form in _DATES:
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            continue
    raise ValueError(f"no date: {text}")
