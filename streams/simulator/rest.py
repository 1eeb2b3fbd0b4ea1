"""What the exchange answers to a public REST request."""

from collections.abc import Mapping
from typing import Final

from chaintide.streams.simulator import kraken
from chaintide.streams.simulator.exchange import ExchangeLogic
from chaintide.streams.simulator.trades import SimMarket

MAX_ROWS: Final = 1_000


def answer(exchange: ExchangeLogic, method: str, query: Mapping[str, str], *, now_us: int) -> bytes:
    """Return the body of ``/0/public/<method>``; errors are bodies too, as at Kraken."""
    match method:
        case "Trades":
            return _trades(exchange, query)
        case "AssetPairs":
            return _asset_pairs(exchange, query)
        case "SystemStatus":
            return kraken.rest_system_status(now_us)
        case "Time":
            return kraken.rest_time(now_us)
        case _:
            return kraken.rest_error(kraken.UNKNOWN_METHOD)


def find(exchange: ExchangeLogic, name: str) -> SimMarket | None:
    """Return the market that a request calls ``name``."""
    markets = exchange.markets.values()
    return next((market for market in markets if name in kraken.names(market)), None)


def _trades(exchange: ExchangeLogic, query: Mapping[str, str]) -> bytes:
    market = find(exchange, query.get("pair", ""))
    if market is None:
        return kraken.rest_error(kraken.UNKNOWN_PAIR)
    try:
        since_ns = int(query["since"]) if "since" in query else None
        count = min(max(1, int(query.get("count", MAX_ROWS))), MAX_ROWS)
    except ValueError:
        return kraken.rest_error(kraken.BAD_ARGUMENTS)
    trades = exchange.since(market.symbol, since_ns, count)
    return kraken.rest_trades(market, trades, since_ns or 0)


def _asset_pairs(exchange: ExchangeLogic, query: Mapping[str, str]) -> bytes:
    if "pair" not in query:
        return kraken.rest_asset_pairs(list(exchange.markets.values()))
    found = [find(exchange, name) for name in query["pair"].split(",")]
    markets = [market for market in found if market is not None]
    if len(markets) < len(found):
        return kraken.rest_error(kraken.UNKNOWN_PAIR)
    return kraken.rest_asset_pairs(markets)
