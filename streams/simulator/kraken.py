"""Kraken's words: WebSocket v2 frames and REST answers, digit by digit as the venue writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

import msgspec

from chaintide.streams.simulator.trades import SimMarket, SimTrade

UNKNOWN_PAIR: Final = "EQuery:Unknown asset pair"
RATE_LIMITED: Final = "EAPI:Rate limit exceeded"
UNKNOWN_METHOD: Final = "EGeneral:Unknown method"
BAD_ARGUMENTS: Final = "EGeneral:Invalid arguments"
HEARTBEAT: Final = '{"channel":"heartbeat"}'

_ASSETS: Final = {"BTC": "XBT", "DOGE": "XDG"}
_LEGACY: Final = {"XBT": "XXBT", "ETH": "XETH", "XRP": "XXRP", "XDG": "XXDG"}
_LEGACY_NAMES: Final = {"XBTUSD": "XXBTZUSD", "ETHUSD": "XETHZUSD", "XRPUSD": "XXRPZUSD"}
_REST_PRICE_DIGITS: Final = 5
_SIDES: Final = {"b": "buy", "s": "sell"}
_ORDER_TYPES: Final = {"m": "market", "l": "limit"}


def ws_symbol(market: SimMarket) -> str:
    """Return the name on the socket.

    >>> from chaintide.streams.simulator.trades import MARKETS
    >>> ws_symbol(MARKETS[0]), altname(MARKETS[0]), pair_name(MARKETS[0])
    ('BTC/USD', 'XBTUSD', 'XXBTZUSD')
    """
    return market.symbol.replace("-", "/")


def altname(market: SimMarket) -> str:
    """Return the name a REST request asks for."""
    return "".join(_assets(market))


def pair_name(market: SimMarket) -> str:
    """Return the name a REST answer files the market under."""
    return _LEGACY_NAMES.get(altname(market), altname(market))


def names(market: SimMarket) -> set[str]:
    """Return every name a REST request may use."""
    plain = ws_symbol(market)
    wsname = "/".join(_assets(market))
    return {altname(market), pair_name(market), wsname, plain, plain.replace("/", "")}


def _assets(market: SimMarket) -> tuple[str, str]:
    base, quote = market.symbol.split("-")
    return _ASSETS.get(base, base), quote


def fixed(n: int, scale: int) -> str:
    """Return ``n / 10**scale`` with all its digits.

    >>> fixed(1059442, 1), fixed(27625, 8), fixed(7, 0)
    ('105944.2', '0.00027625', '7')
    """
    digits = str(n).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits


def timestamp(time_us: int) -> str:
    """Return the time as the socket writes it.

    >>> timestamp(1_696_613_755_440_295)
    '2023-10-06T17:35:55.440295Z'
    """
    seconds, micros = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


# ------------------------------------------------------------------ socket frames


def status_frame(connection_id: int) -> str:
    """Return the greeting of a new connection."""
    return (
        '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
        f'"api_version":"v2","connection_id":{connection_id}}}]}}'
    )


def trade_frame(market: SimMarket, trades: Sequence[SimTrade], kind: str) -> str:
    """Return one message of the trade channel; ``kind`` is ``snapshot`` or ``update``."""
    rows = ",".join(_row(market, trade) for trade in trades)
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


def _row(market: SimMarket, trade: SimTrade) -> str:
    return (
        f'{{"symbol":"{ws_symbol(market)}","side":"{_SIDES[trade.side]}",'
        f'"price":{fixed(trade.price, market.price_scale)},'
        f'"qty":{fixed(trade.size, market.size_scale)},'
        f'"ord_type":"{_ORDER_TYPES[trade.order_type]}","trade_id":{trade.trade_id},'
        f'"timestamp":"{timestamp(trade.time_us)}"}}'
    )


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a request was answered, and the number its sender gave it."""

    now_us: int
    req_id: int | None = None


def answer_frame(method: str, stamp: Stamp, result: Mapping[str, object] | None = None) -> str:
    """Return the answer to a request that succeeded; a pong has no result."""
    body: dict[str, object] = {"method": method}
    if result is not None:
        body |= {"result": result, "success": True}
    return _stamped(body, stamp)


def error_frame(method: str, error: str, stamp: Stamp, *, symbol: str | None = None) -> str:
    """Return the answer to a request that failed."""
    body: dict[str, object] = {"error": error, "method": method, "success": False}
    if symbol is not None:
        body["symbol"] = symbol
    return _stamped(body, stamp)


def _stamped(body: dict[str, object], stamp: Stamp) -> str:
    if stamp.req_id is not None:
        body["req_id"] = stamp.req_id
    body["time_in"] = timestamp(stamp.now_us)
    body["time_out"] = timestamp(stamp.now_us + 60)
    return msgspec.json.encode(body).decode()


# ------------------------------------------------------------------- REST answers


def rest_error(error: str) -> bytes:
    """Return the body of a refused request; Kraken sends it with status 200.

    >>> rest_error(UNKNOWN_PAIR)
    b'{"error":["EQuery:Unknown asset pair"]}'
    """
    return msgspec.json.encode({"error": [error]})


def rest_trades(market: SimMarket, trades: Sequence[SimTrade], since_ns: int) -> bytes:
    """Return the answer of ``Trades``; ``last`` is where the next request starts."""
    digits = max(_REST_PRICE_DIGITS, market.price_scale)
    raise_by = 10 ** (digits - market.price_scale)
    rows = [
        [
            fixed(trade.price * raise_by, digits),
            fixed(trade.size, market.size_scale),
            msgspec.Raw(fixed(trade.time_us, 6).encode()),
            trade.side,
            trade.order_type,
            "",
            trade.trade_id,
        ]
        for trade in trades
    ]
    last_ns = trades[-1].time_us * 1000 if trades else since_ns
    return _result({pair_name(market): rows, "last": str(last_ns)})


def rest_asset_pairs(markets: Sequence[SimMarket]) -> bytes:
    """Return the answer of ``AssetPairs``."""
    return _result({pair_name(market): _asset_pair(market) for market in markets})


def _asset_pair(market: SimMarket) -> dict[str, object]:
    base, quote = _assets(market)
    return {
        "altname": altname(market),
        "wsname": f"{base}/{quote}",
        "aclass_base": "currency",
        "base": _LEGACY.get(base, base),
        "aclass_quote": "currency",
        "quote": f"Z{quote}",
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": market.price_scale,
        "lot_decimals": market.size_scale,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": fixed(1, market.size_scale),
        "costmin": "0.5",
        "tick_size": fixed(1, market.price_scale),
        "status": "online",
    }


def rest_system_status(now_us: int) -> bytes:
    """Return the answer of ``SystemStatus``."""
    return _result({"status": "online", "timestamp": f"{timestamp(now_us)[:19]}Z"})


def rest_time(now_us: int) -> bytes:
    """Return the answer of ``Time``."""
    seconds = now_us // 1_000_000
    return _result(
        {
            "unixtime": seconds,
            "rfc1123": format_datetime(datetime.fromtimestamp(seconds, UTC)),
        }
    )


def _result(result: dict[str, object]) -> bytes:
    return msgspec.json.encode({"error": [], "result": result})
