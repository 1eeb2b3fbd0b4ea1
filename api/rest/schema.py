"""The OpenAPI description: what routes answer, with examples, and with which errors."""

from typing import Any, Final

import msgspec

from chaintide.api.rest.answers import STRUCTS
from chaintide.api.rest.problems import MEDIA_TYPE, Problem

_REF: Final = "#/components/schemas/{name}"
DESCRIPTION: Final = (
    "Prices and sizes are decimal strings. Times are integers in UTC, `_ms` in milliseconds and "
    "`_us` in microseconds; in queries they may be ISO 8601 too. Parameters that are unknown are "
    "refused."
)
MARKET: Final = "kraken:BTC-USD"
CANDLE: Final = {
    "market": MARKET,
    "interval": "1m",
    "open_time_ms": 1761990300000,
    "close_time_ms": 1761990360000,
    "open": "110123.4",
    "high": "110124",
    "low": "110123.4",
    "close": "110124",
    "volume": "0.4125",
    "quote_volume": "45426.1425",
    "vwap": "110123.9818181818",
    "taker_buy_volume": "0.0125",
    "trades": 2,
    "first_trade_id": 7001,
    "last_trade_id": 7002,
    "status": "closed",
    "revision": 1,
    "complete": True,
    "fill": "traded",
    "updated_ms": 1761990365480,
    "reason": None,
    "unique_traders": None,
    "has_more_traders": False,
}
POOL: Final = {
    "market": "5151:0x5fbdb2315678afecb367f032d93f642f64180aa3/0x01",
    "name": "localchain:RUST-USDC",
    "base": "RUST",
    "quote": "USDC",
    "kind": "reserves",
    "base_reserve": "1000000",
    "quote_reserve": "900000.5",
    "price": "0.9000005",
    "liquidity": None,
    "sqrt_price_x96": None,
    "tick": None,
    "number": 7,
    "block_hash": "0x4e3a3754410177e6937ef1f84bba68ea139e8d1a2258c5f85db9f1cd715a1bdd",
    "log_index": 3,
    "time_ms": 1761990305000,
    "is_final": False,
}
_ERRORS: Final = {
    400: "A parameter is unknown, missing or wrong; `errors` says which.",
    404: "There is no such market, pool or model.",
    405: "The method is not GET.",
    429: "Too many requests; `Retry-After` says when to try again.",
    500: "A fault of this program.",
    503: "What is needed does not answer; `Retry-After` says when to try again.",
}
_PROBLEM_EXAMPLE: Final = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "unknown parameter 'intervall'",
    "request_id": "5f0c0b7c1d0e4c60a3b0b8a2f7a0b1c2",
    "errors": [{"parameter": "intervall", "reason": "unknown"}],
}


def ok(
    struct: type[msgspec.Struct], example: object, description: str = "The answer."
) -> dict[int | str, dict[str, Any]]:
    """Return the description of a successful answer."""
    content = {"schema": {"$ref": _REF.format(name=struct.__name__)}, "example": example}
    return {200: {"description": description, "content": {"application/json": content}}}


def plain(schema: object, example: object) -> dict[int | str, dict[str, Any]]:
    """Return the description of a successful answer that is no struct of ours."""
    content = {"schema": schema, "example": example}
    return {200: {"description": "The answer.", "content": {"application/json": content}}}


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the errors a route can answer with, each a problem."""
    schema = {"$ref": _REF.format(name=Problem.__name__)}
    content = {MEDIA_TYPE: {"schema": schema, "example": _PROBLEM_EXAMPLE}}
    chosen = (*codes, 400, 405, 429, 500)
    return {code: {"description": _ERRORS[code], "content": content} for code in sorted(chosen)}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` with our schemas, and without answers that are never given."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _, ours = msgspec.json.schema_components([*STRUCTS, Problem], ref_template=_REF)
    schemas.update(ours)
    return document
