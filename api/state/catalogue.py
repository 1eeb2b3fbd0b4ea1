"""Which markets there are, and what is observed besides trades."""

import re
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from chaintide.api.naming import advice, market_of
from chaintide.streams.chain.records import Alias
from chaintide.streams.feeds.coingecko import PriceTick, Trending
from chaintide.streams.records import Candle, FeedReport, Market, TradeBatch

MAX_MARKETS: Final = 10_000
STALE_MS: Final = 10_000
FORGOTTEN_MS: Final = 86_400_000
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")
Basis = Literal["trades", "price"]


class MarketEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A market; ``base`` and ``quote`` are null where its symbol does not name them.

    ``name`` is what people call it: that is not ``market`` on a ``chain``, whose pools are known by
    their addresses and whose tokens choose their symbols themselves.
    ``price_scale`` and ``size_scale`` are the most places seen after the point. With ``basis``
    "price" there are observed prices, but no trades and no candles.
    """

    market: Market
    venue: str
    symbol: str
    base: str | None
    quote: str | None
    basis: Basis
    first_open_time_ms: int | None
    last_open_time_ms: int | None
    price_scale: int
    size_scale: int
    name: str
    chain: str | None


class FeedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The last report of a feed; ``is_alive`` is false once there was none for 10 s."""

    report: FeedReport
    age_ms: int
    is_alive: bool


@dataclass(slots=True)
class _Known:
    basis: Basis
    first_ms: int | None = None
    last_ms: int | None = None
    price_scale: int = 0
    size_scale: int = 0


class Catalogue:
    """Markets, observed prices, trending coins and feeds, each as last heard of.

    Beyond 10,000 markets, new ones are not listed; nor are there more names of those on chains.
    Nothing of ``hidden`` venues is known.
    """

    def __init__(self, hidden: frozenset[str] = frozenset()) -> None:
        self._hidden = hidden
        self.ticks: dict[Market, PriceTick] = {}
        self.trending: Trending | None = None
        self._feeds: dict[str, FeedReport] = {}
        self._markets: dict[Market, _Known] = {}
        self._aliases: dict[Market, Alias] = {}
        self._chains: set[str] = set()

    def __contains__(self, market: str) -> bool:
        return market in self._markets

    def is_hidden(self, market: Market) -> bool:
        """Return whether nothing of this market is to be known."""
        return market.partition(":")[0] in self._hidden

    def is_contract(self, name: str) -> bool:
        """Return whether a name is that of an address on a chain that is followed.

        Which of them have contracts that are watched, nobody says here.
        """
        chain, _, address = name.partition(":")
        is_known = chain in self._chains or (chain.isdecimal() and chain in self._feeds)
        return is_known and _ADDRESS.fullmatch(address) is not None

    def on_market(self, market: Market) -> bool:
        """Take note of a market that is traded; return whether it is listed."""
        return self._know(market, "trades") is not None

    def on_candle(self, candle: Candle) -> None:
        """Take note of how far the candles of a market reach, and how exact they are."""
        if (known := self._know(candle.market, "trades")) is None:
            return
        open_ms = candle.open_time_ms
        if candle.interval == "1m":
            known.first_ms = open_ms if known.first_ms is None else min(known.first_ms, open_ms)
            known.last_ms = open_ms if known.last_ms is None else max(known.last_ms, open_ms)
        for price in (candle.open, candle.high, candle.low, candle.close):
            known.price_scale = max(known.price_scale, _places(price))
        known.size_scale = max(known.size_scale, _places(candle.volume))

    def on_trades(self, batch: TradeBatch) -> None:
        """Take note of the scales of a market."""
        if (known := self._know(batch.market, "trades")) is not None:
            known.price_scale = max(known.price_scale, batch.price_scale)
            known.size_scale = max(known.size_scale, batch.size_scale)

    def on_tick(self, tick: PriceTick) -> bool:
        """Take an observed price and return whether it is the newest of its market."""
        last = self.ticks.get(tick.market)
        known = self._know(tick.market, "price")
        if known is None or (last is not None and tick.time_us < last.time_us):
            return False
        known.price_scale = max(known.price_scale, _places(tick.price))
        self.ticks[tick.market] = tick
        return True

    def on_alias(self, alias: Alias) -> None:
        """Take what a market of a chain is called."""
        if self.is_hidden(alias.market):
            return
        self._chains.add(alias.market.partition(":")[0])
        if alias.market in self._aliases or len(self._aliases) < MAX_MARKETS:
            self._aliases[alias.market] = alias

    def alias(self, market: Market) -> Alias | None:
        """Return what a market of a chain is called, None if nobody has said."""
        return self._aliases.get(market)

    @property
    def names(self) -> dict[Market, str]:
        """What people call each market, in the order in which they came."""
        aliases = self._aliases
        return {one: aliases[one].name if one in aliases else one for one in self._markets}

    def advice(self, asked: str) -> str:
        """Return what to say of a market that is asked for by a name it does not have."""
        names = self.names
        meant = market_of(asked, names)
        if meant is None:
            return advice(asked, names)
        return "" if meant == asked else f"{asked} is `{meant}`"

    def on_report(self, report: FeedReport) -> bool:
        """Take the report of a feed, and return whether it is to be shown."""
        if report.venue in self._hidden:
            return False
        self._feeds[report.venue] = report
        return True

    def markets(self) -> list[MarketEntry]:
        """Return every market, sorted by its name."""
        return [
            _entry(market, self._markets[market], self._aliases.get(market))
            for market in sorted(self._markets)
        ]

    def reports(self) -> list[FeedReport]:
        """Return the last report of each feed, sorted by venue."""
        return [self._feeds[venue] for venue in sorted(self._feeds)]

    def feeds(self, *, now_ms: int) -> list[FeedEntry]:
        """Return each feed that reported in the last day, sorted by venue."""
        return [
            FeedEntry(
                report=report,
                age_ms=max(0, now_ms - report.time_ms),
                is_alive=now_ms - report.time_ms < STALE_MS,
            )
            for report in self.reports()
            if now_ms - report.time_ms < FORGOTTEN_MS
        ]

    def _know(self, market: Market, basis: Basis) -> _Known | None:
        known = self._markets.get(market)
        if known is None and len(self._markets) < MAX_MARKETS and not self.is_hidden(market):
            known = self._markets[market] = _Known(basis)
        return known


def _entry(market: Market, known: _Known, alias: Alias | None) -> MarketEntry:
    name = market if alias is None else alias.name
    venue, symbol = market.partition(":")[0], name.partition(":")[2]
    base, dash, quote = symbol.rpartition("-")
    is_pair = bool(dash and base and quote)
    return MarketEntry(
        market=market,
        venue=venue,
        symbol=symbol,
        base=alias.base if alias else base if is_pair else None,
        quote=alias.quote if alias else quote if is_pair else None,
        basis=known.basis,
        first_open_time_ms=known.first_ms,
        last_open_time_ms=known.last_ms,
        price_scale=known.price_scale,
        size_scale=known.size_scale,
        name=name,
        chain=venue if alias else None,
    )


def _places(number: str) -> int:
    return len(number.partition(".")[2])
