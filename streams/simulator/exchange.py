"""Every market of the exchange and its complete list of trades, within a stated bound."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from chaintide.streams import decimals
from chaintide.streams.errors import ConfigError
from chaintide.streams.simulator import kraken
from chaintide.streams.simulator.faults import Fault, FaultLogic, schedule
from chaintide.streams.simulator.trades import MARKETS, SimMarket, SimTrade, Tape

KEPT: Final = 200_000
MAX_RATE: Final = 1_000
SNAPSHOT: Final = 50
CSV_HEADER: Final = "market,trade_id,time_us,price,size,side\n"
_HISTORY_US: Final = 600_000_000
_TRIM: Final = KEPT // 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is simulated: ``rate`` is in trades a second for each market.

    ``faults_every_s`` switches a random fault on so often; zero means never.

    Raises:
        ConfigError: If the rate or the time between faults is out of range.
    """

    seed: int = 1
    rate: float = 2.0
    markets: Sequence[SimMarket] = MARKETS
    faults_every_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.rate < MAX_RATE:
            raise ConfigError(
                f"rate {self.rate}: give trades a second, above 0 and below {MAX_RATE}"
            )
        if not 0 <= self.faults_every_s < math.inf:
            raise ConfigError(f"faults every {self.faults_every_s} s: give seconds, or 0 for never")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the trade channel, for those who subscribed to ``symbol``."""

    symbol: str
    text: str


class ExchangeLogic:
    """The markets, which have traded for ten minutes when it opens.

    Of each market the last 200,000 trades or a few more are kept; older ones are forgotten.
    """

    def __init__(self, settings: Settings, *, now_us: int) -> None:
        self.markets = {market.symbol: market for market in settings.markets}
        self.faults = FaultLogic(self.markets)
        start_us = now_us - _HISTORY_US
        self._tapes = {
            symbol: Tape(market, seed=settings.seed, start_us=start_us, rate=settings.rate)
            for symbol, market in self.markets.items()
        }
        self._trades = {symbol: tape.step(now_us) for symbol, tape in self._tapes.items()}
        self._schedule: Iterator[tuple[int, Fault]] = iter(())
        if settings.faults_every_s:
            self._schedule = schedule(
                settings.seed, start_us=now_us, every_s=settings.faults_every_s
            )
        self._next_fault = next(self._schedule, None)

    def step(self, now_us: int) -> list[Frame]:
        """Return what the socket says about the time since the last step, faults included."""
        while self._next_fault is not None and self._next_fault[0] <= now_us:
            self.faults.on_fault(self._next_fault[1], now_us=now_us)
            self._next_fault = next(self._schedule, None)
        return [frame for symbol in self.markets for frame in self._step(symbol, now_us)]

    def _step(self, symbol: str, now_us: int) -> list[Frame]:
        trades = self._tapes[symbol].step(now_us)
        known = self._trades[symbol]
        known += trades
        if len(known) > KEPT + _TRIM:
            del known[:-KEPT]
        frames = [
            kraken.trade_frame(self.markets[symbol], group, "update")
            for group in self.faults.on_trades(symbol, trades)
        ]
        return [Frame(symbol, self.faults.on_frame(symbol, frame)) for frame in frames]

    def recent(self, symbol: str) -> list[SimTrade]:
        """Return what a new subscriber is told first: the last 50 trades the venue still has."""
        return self._available(symbol, self._trades[symbol][-SNAPSHOT:])

    def since(self, symbol: str, since_ns: int | None, count: int) -> list[SimTrade]:
        """Return at most ``count`` trades after ``since_ns``, or the last ones without it."""
        trades = self._trades[symbol]
        if since_ns is None:
            return self._available(symbol, trades[-count:])
        first = bisect_right(trades, since_ns // 1000, key=attrgetter("time_us"))
        return self._available(symbol, trades[first:])[:count]

    def csv(self, symbol: str) -> str:
        """Return the truth: every trade kept, refused or not, in the format of a replay file."""
        market = self.markets[symbol]
        sides = {"b": "buy", "s": "sell"}
        rows = [
            f"kraken:{symbol},{trade.trade_id},{trade.time_us},"
            f"{decimals.text(trade.price, market.price_scale)},"
            f"{decimals.text(trade.size, market.size_scale)},{sides[trade.side]}\n"
            for trade in self._trades[symbol]
        ]
        return CSV_HEADER + "".join(rows)

    def _available(self, symbol: str, trades: list[SimTrade]) -> list[SimTrade]:
        return [t for t in trades if not self.faults.is_refused(symbol, t.trade_id)]
