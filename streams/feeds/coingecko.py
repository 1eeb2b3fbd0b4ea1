"""CoinGecko: prices that were observed, not trades.

A ``PriceTick`` has no size and no id, and says ``basis="price"``: it must never be folded
into a candle of trades. The venue refreshes its answers every 60 s without a paid key. Its
``/ohlc`` is not read: those candles are stamped at their close and have no volume.
"""

from typing import Final, Literal

import msgspec

from chaintide.streams import decimals
from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds import payload as wire
from chaintide.streams.feeds.adapter import Request, Venue, assets, raw_number
from chaintide.streams.records import SCHEMA_VERSION, Market

KEY_HEADER: Final = "x-cg-demo-api-key"
VENUE: Final = Venue(
    name="coingecko", ws_url="", rest_url="https://api.coingecko.com/api/v3", rest_per_minute=10
)


class PriceTick(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """One observed price of ``coingecko:coin-QUOTE``, an exact decimal string."""

    market: Market
    time_us: int
    price: str
    basis: Literal["price"] = "price"
    v: int = SCHEMA_VERSION


class TrendingCoin(msgspec.Struct, frozen=True, kw_only=True):
    """A coin that many people looked for."""

    coin: str
    symbol: str
    name: str
    market_cap_rank: int | None = None


class Trending(msgspec.Struct, frozen=True, kw_only=True, tag="trending"):
    """The coins most looked for, first one first, as read at ``time_us``."""

    time_us: int
    coins: list[TrendingCoin]
    v: int = SCHEMA_VERSION


class _Coin(msgspec.Struct):
    id: str
    current_price: msgspec.Raw
    last_updated: str | None


class _Item(msgspec.Struct):
    id: str
    symbol: str
    name: str
    market_cap_rank: int | None = None


class _Entry(msgspec.Struct):
    item: _Item


class _Trending(msgspec.Struct):
    coins: list[_Entry]


_prices: Final = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]])
_markets: Final = msgspec.json.Decoder(list[_Coin])
_trending: Final = msgspec.json.Decoder(_Trending)


def prices_request(markets: list[Market]) -> Request:
    """Return the request for the prices of ``markets``, every coin in every quote.

    >>> prices_request([Market("coingecko:bitcoin-USD")]).params["ids"]
    'bitcoin'
    """
    pairs = [assets(market) for market in markets]
    params = {
        "ids": ",".join(sorted({coin for coin, _ in pairs})),
        "vs_currencies": ",".join(sorted({quote.lower() for _, quote in pairs})),
        "include_last_updated_at": "true",
        "precision": "full",
    }
    return Request("/simple/price", params)


def parse_prices(payload: bytes) -> list[PriceTick]:
    """Return the ticks in an answer of ``/simple/price``; coins without a price have none.

    >>> answer = b'{"bitcoin": {"usd": 67187.3358, "last_updated_at": 1711356300}}'
    >>> [(tick.market, tick.price) for tick in parse_prices(answer)]
    [('coingecko:bitcoin-USD', '67187.3358')]

    Raises:
        BadRecordError: If the answer cannot be understood.
    """
    ticks: list[PriceTick] = []
    for coin, row in wire.decode(_prices, payload).items():
        prices = {quote: raw for quote, raw in row.items() if quote != "last_updated_at"}
        if "last_updated_at" not in row:
            raise BadRecordError(f"prices of {coin[:60]!r} have no time")
        time_us = wire.seconds_time_us(raw_number(row["last_updated_at"]))
        ticks += [_tick(coin, quote, time_us, raw) for quote, raw in prices.items() if _is_set(raw)]
    return ticks


def markets_request(quote: str) -> Request:
    """Return the request for the 100 largest coins, priced in ``quote``."""
    return Request("/coins/markets", {"vs_currency": quote.lower(), "per_page": "100"})


def parse_markets(quote: str, payload: bytes) -> list[PriceTick]:
    """Return the ticks in an answer of ``/coins/markets``.

    Raises:
        BadRecordError: If the answer cannot be understood.
    """
    return [
        _tick(coin.id, quote, wire.iso_time_us(coin.last_updated), coin.current_price)
        for coin in wire.decode(_markets, payload)
        if coin.last_updated is not None and _is_set(coin.current_price)
    ]


TRENDING_REQUEST: Final = Request("/search/trending", {})


def parse_trending(time_us: int, payload: bytes) -> Trending:
    """Return the coins in an answer of ``/search/trending``, read at ``time_us``.

    Raises:
        BadRecordError: If the answer cannot be understood.
    """
    coins = [
        TrendingCoin(
            coin=entry.item.id,
            symbol=entry.item.symbol,
            name=entry.item.name,
            market_cap_rank=entry.item.market_cap_rank,
        )
        for entry in wire.decode(_trending, payload).coins
    ]
    return Trending(time_us=time_us, coins=coins)


def _is_set(raw: msgspec.Raw) -> bool:
    return bytes(raw) != b"null"


def _tick(coin: str, quote: str, time_us: int, raw: msgspec.Raw) -> PriceTick:
    price = raw_number(raw)
    if price[0] <= 0:
        raise BadRecordError(f"price of {coin[:60]!r} is not > 0")
    market = Market(f"coingecko:{coin}-{quote.upper()}")
    return PriceTick(market=market, time_us=time_us, price=decimals.text(*price))
