"""Views that people have clients for: Binance's klines and TradingView's UDF."""

from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Query, Request, Response

from chaintide.api.rest import klines, queries, udf
from chaintide.api.rest.market_routes import backend, json
from chaintide.api.rest.problems import ProblemError
from chaintide.api.rest.schema import MARKET, errors, plain
from chaintide.streams.intervals import WIDTH_MS, Interval

router: Final = APIRouter(default_response_class=Response)
_SECONDS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Seconds.", "content": {"text/plain": {"example": "1761990305"}}}
}
_OBJECT: Final = {"type": "object"}
_KLINE: Final = [
    1761990300000,
    "110123.4",
    "110124",
    "110123.4",
    "110124",
    "0.4125",
    1761990359999,
    "45426.1425",
    2,
    "0.0125",
    "0",
    "0",
]
_KLINE_ERROR: Final = {
    "schema": {
        "type": "object",
        "required": ["code", "msg"],
        "properties": {"code": {"type": "integer"}, "msg": {"type": "string"}},
    },
    "example": {"code": -1121, "msg": "Invalid symbol."},
}
_KLINE_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "symbol": {"type": "string"},
    "interval": {"type": "string", "enum": sorted(klines.INTERVALS)},
    "startTime": {"type": "integer", "minimum": 0},
    "endTime": {"type": "integer", "minimum": 0},
    "timeZone": {"type": "string", "enum": ["0"]},
    "limit": {"type": "integer", "minimum": 1, "default": klines.DEFAULT_LIMIT},
}


def _kline_errors() -> dict[int | str, dict[str, Any]]:
    described = errors()
    for code in (400, 429):
        described[code] = described[code] | {"content": {"application/json": _KLINE_ERROR}}
    return described | {503: errors(503)[503]}


@router.get(
    "/api/v3/klines",
    tags=["Binance"],
    summary="Candles as Binance writes them",
    responses=plain({"type": "array", "items": {"type": "array"}}, [_KLINE]) | _kline_errors(),
    openapi_extra={
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": name in {"symbol", "interval"},
                "schema": _KLINE_SCHEMAS[name],
            }
            for name in klines.PARAMETERS
        ]
    },
)
async def kline_rows(request: Request) -> Response:
    """Return candles as rows; ``symbol`` is ``BTCUSDT`` or ``venue:BASE-QUOTE``."""
    shared = backend(request)
    query = klines.query_of(request.query_params)
    names = [entry.market for entry in shared.view.catalogue.markets()]
    if not shared.is_loaded:
        raise ProblemError(503, "the markets are not read yet", retry_after_s=1)
    market = klines.market_of(query.symbol, names)
    found = await shared.reader.candles(
        market, cast("Interval", query.interval), query.start_ms, query.end_ms, query.limit
    )
    return json([klines.row(candle) for candle in found])


@router.get(
    "/udf/config",
    tags=["TradingView"],
    summary="What this server can do",
    responses=plain(_OBJECT, {"supports_search": True}) | errors(),
)
async def config(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return what the charting library asks first."""
    entries = backend(request).view.catalogue.markets()
    return json(udf.config(entry.venue for entry in entries if entry.basis == "trades"))


@router.get(
    "/udf/symbols",
    tags=["TradingView"],
    summary="What there is to know of a market",
    responses=plain(_OBJECT, {"ticker": MARKET, "pricescale": 10}) | errors(404, 503),
)
async def symbols(request: Request, query: Annotated[queries.SymbolQuery, Query()]) -> Response:
    """Return how to draw a market."""
    shared = backend(request)
    market = shared.market(query.symbol)
    [entry] = [e for e in shared.view.catalogue.markets() if e.market == market]
    return json(udf.symbol(entry))


@router.get(
    "/udf/search",
    tags=["TradingView"],
    summary="Markets by a part of their name",
    responses=plain({"type": "array", "items": _OBJECT}, [{"ticker": MARKET}]) | errors(),
)
async def search(request: Request, query: Annotated[queries.SearchQuery, Query()]) -> Response:
    """Return the markets that match; ``type`` is ``crypto`` or empty."""
    entries = backend(request).view.catalogue.markets()
    if query.type not in {"", "crypto"}:
        return json([])
    return json(udf.found(entries, query.query, query.exchange, query.limit))


@router.get(
    "/udf/history",
    tags=["TradingView"],
    summary="Bars",
    responses=plain(
        _OBJECT,
        {
            "s": "ok",
            "t": [1761990300],
            "o": [110123.4],
            "h": [110124],
            "l": [110123.4],
            "c": [110124],
            "v": [0.4125],
        },
    )
    | errors(404, 503),
)
async def history(request: Request, query: Annotated[queries.HistoryQuery, Query()]) -> Response:
    """Return bars in ``[from, to)`` without holes, or ``no_data`` and when the last one was."""
    shared = backend(request)
    market = shared.market(query.symbol)
    interval = udf.interval_of(query.resolution)
    if interval is None:
        wrong = {"parameter": "resolution", "reason": f"not one of {', '.join(udf.RESOLUTIONS)}"}
        raise ProblemError(400, f"resolution: {wrong['reason']}", errors=[wrong])
    from_ms, to_ms = query.from_s * 1000, query.to_s * 1000
    windows = (to_ms - from_ms) // WIDTH_MS[interval] + 1 if query.countback is None else 0
    wanted = min(query.countback or max(windows, 1), udf.MAX_BARS)
    read = await shared.reader.candles(market, interval, None, to_ms, wanted)
    drawn = udf.bars(read, interval)
    if query.countback is None:
        drawn = [bar for bar in drawn if bar[0] >= query.from_s]
    if drawn:
        return json(udf.history(drawn[-wanted:]))
    return json(udf.no_data(read[-1] if read else None))


@router.get(
    "/udf/time",
    tags=["TradingView"],
    summary="The clock of the server in seconds",
    responses=_SECONDS | errors(),
)
async def time(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return the seconds since 1970."""
    return Response(str(backend(request).now_ms() // 1000), media_type="text/plain")
