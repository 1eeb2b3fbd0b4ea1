"""Candles and gaps as points of InfluxDB, in its line protocol.

The tags and the time of a point are its identity: writing it again replaces it, provided it
always has the same fields. The field ``exact`` holds the whole record and is what reads
return; the other fields are there to be drawn and queried.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

from chaintide.streams import codec
from chaintide.streams.records import Candle, CandleBatch, Gap, Market

PLAIN: Final = ":/.-_@$#+*"


def tag(text: str) -> str:
    """Return ``text`` as a tag value: the usual names as they are, anything odd encoded.

    What comes out needs no escapes, neither in line protocol nor in a Flux string.

    >>> tag("kraken:BTC-USDT"), tag("a, b=c")
    ('kraken:BTC-USDT', 'a%2C%20b%3Dc')
    """
    return quote(text, safe=PLAIN)


def market_of(tag_value: str) -> Market:
    """Return the market that ``tag`` made ``tag_value`` of."""
    return Market(unquote(tag_value))


def points(batches: Iterable[CandleBatch]) -> list[str]:
    """Return a line for each candle and each gap."""
    return [
        line
        for batch in batches
        for line in (*map(candle_point, batch.candles), *map(gap_point, batch.gaps))
    ]


def candle_point(candle: Candle) -> str:
    """Return the line of ``candle``: prices and sizes as the nearest floats, and exactly.

    A candle without trades has no volume-weighted price. Its float is the close then, because
    a field that is left out would keep the value of an earlier revision. For the same reason
    ``unique_traders`` is -1 where it is not known.
    """
    tags = f"{_market_tags(candle.market)},interval={candle.interval}"
    floats = (
        f"open={candle.open},high={candle.high},low={candle.low},close={candle.close}"
        f",volume={candle.volume},quote_volume={candle.quote_volume}"
        f",vwap={candle.vwap or candle.close},taker_buy_volume={candle.taker_buy_volume}"
    )
    traders = -1 if candle.unique_traders is None else candle.unique_traders
    state = (
        f"trades={candle.trades}i,revision={candle.revision}i,complete={candle.complete}"
        f',status="{candle.status}",fill="{candle.fill}",reason="{candle.reason or ""}"'
        f",unique_traders={traders}i,has_more_traders={candle.has_more_traders}"
    )
    time_ns = candle.open_time_ms * 1_000_000
    return f"candles,{tags} {floats},{state},exact={_exact(candle)} {time_ns}"


def gap_point(gap: Gap) -> str:
    """Return the line of ``gap``, at the time it begins."""
    fields = f"to_us={gap.to_us}i,filled={gap.filled},exact={_exact(gap)}"
    return f"gaps,{_market_tags(gap.market)} {fields} {gap.from_us * 1000}"


def _market_tags(market: Market) -> str:
    venue, _, symbol = market.partition(":")
    parts = {"market": market, "venue": venue, "symbol": symbol}
    return ",".join(f"{key}={tag(value)}" for key, value in parts.items() if value)


def _exact(record: Candle | Gap) -> str:
    text = codec.encode(record).decode()
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
