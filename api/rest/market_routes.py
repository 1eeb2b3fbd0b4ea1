"""The routes below ``/v1``."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from chaintide.api.rest import answers, queries, schema
from chaintide.api.rest.backend import Backend
from chaintide.api.rest.cursors import CursorError, seal, unseal
from chaintide.api.rest.pages import Page
from chaintide.api.rest.problems import ProblemError
from chaintide.api.rest.schema import MARKET, errors, ok
from chaintide.streams import codec
from chaintide.streams.errors import RetryableError
from chaintide.streams.records import Candle, Market

router: Final = APIRouter(prefix="/v1", tags=["market data"], default_response_class=Response)
Span = tuple[int | None, int | None]
_FOR_EVER: Final = {"Cache-Control": "public, max-age=86400"}
_TRADE: Final = {
    "trade_id": 7001,
    "time_us": 1761990305120000,
    "price": "110123.4",
    "size": "0.0125",
    "side": "buy",
    "block": None,
}
_NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The page with this `ETag` is still right."}
}


def backend(request: Request) -> Backend:
    """Return what the routes share."""
    shared: Backend = request.app.state.backend
    return shared


def json(value: object, headers: dict[str, str] | None = None) -> Response:
    """Return ``value`` as JSON."""
    return Response(
        codec.encode(value),
        media_type="application/json",
        headers=headers or {"Cache-Control": "no-cache"},
    )


@router.get(
    "/candles",
    summary="Candles of a market",
    responses=ok(
        answers.CandlesPage,
        {"market": MARKET, "interval": "1m", "candles": [schema.CANDLE], "next": None},
    )
    | _NOT_MODIFIED
    | errors(404, 503),
)
async def candles(request: Request, query: Annotated[queries.CandlesQuery, Query()]) -> Response:
    """Return a page of candles, sorted by open time.

    With ``start`` pages go forwards from there, without it backwards from the newest candle. A
    page may hold fewer than ``limit`` candles; go on while there is ``next``. A page that can
    never change has an ``ETag``.
    """
    shared = backend(request)
    market = shared.market(query.market)
    query = query.model_copy(update={"market": market})
    asked = f"{query.scope}|{query.limit}|{query.cursor}"
    if (kept := shared.pages.get(asked)) is not None:
        return _settled(request, kept)
    span = _range(shared, query)
    read = await shared.reader.read(market, query.interval, *span, query.limit)
    found = read.candles
    page = answers.CandlesPage(
        market, query.interval, answers.chosen(found, query), _next(shared, query, found)
    )
    if not answers.is_settled(found, query, span[1]) or not (
        read.is_stored or await _is_stored(shared, query, span, found)
    ):
        return json(page)
    body = codec.encode(page)
    settled = Page(body, answers.etag(body))
    shared.pages.put(asked, settled)
    return _settled(request, settled)


async def _is_stored(
    shared: Backend, query: queries.CandlesQuery, span: Span, read: list[Candle]
) -> bool:
    """Return whether the store alone says the same: it has no holes, however far it is behind."""
    try:
        stored = await shared.reader.store.candles(
            Market(query.market), query.interval, *span, query.limit
        )
    except RetryableError:
        return False
    return stored == read


def _settled(request: Request, page: Page) -> Response:
    headers = _FOR_EVER | {"ETag": page.etag}
    if answers.has_etag(request.headers.get("if-none-match", ""), page.etag):
        return Response(status_code=304, headers=headers)
    return Response(page.body, media_type="application/json", headers=headers)


def _range(shared: Backend, query: queries.CandlesQuery) -> Span:
    if query.cursor is None:
        return query.start, query.end
    try:
        place_ms = unseal(shared.cursor_key, query.scope, query.cursor)
    except CursorError as error:
        wrong = {"parameter": "cursor", "reason": str(error)}
        raise ProblemError(400, f"cursor: {error}", errors=[wrong]) from error
    return (query.start, place_ms) if query.start is None else (place_ms, query.end)


def _next(shared: Backend, query: queries.CandlesQuery, read: list[Candle]) -> str | None:
    if len(read) < query.limit:
        return None
    place_ms = read[0].open_time_ms if query.start is None else read[-1].open_time_ms + 1
    return seal(shared.cursor_key, query.scope, place_ms)


@router.get(
    "/trades",
    summary="Recent trades of a market",
    responses=ok(answers.TradesAnswer, {"market": MARKET, "trades": [_TRADE]}) | errors(404, 503),
)
async def trades(request: Request, query: Annotated[queries.TradesQuery, Query()]) -> Response:
    """Return the newest trades, of at most the last 1,000, oldest first."""
    shared = backend(request)
    market = shared.market(query.market)
    return json(answers.TradesAnswer(market, shared.view.tape(market).newest(query.limit)))


@router.get(
    "/tickers",
    summary="Figures of the last 24 hours",
    responses=ok(
        answers.TickersAnswer,
        {
            "tickers": [
                {
                    "market": MARKET,
                    "basis": "trades",
                    "open_time_ms": 1761903960000,
                    "close_time_ms": 1761990360000,
                    "last": "110124",
                    "open": "110000",
                    "change": "124",
                    "change_percent": "0.1127",
                    "high": "110500",
                    "low": "109000.5",
                    "volume": "812.25",
                    "quote_volume": "89401123.5",
                    "trades": 20411,
                }
            ]
        },
    )
    | errors(404, 503),
)
async def tickers(request: Request, query: Annotated[queries.TickersQuery, Query()]) -> Response:
    """Return the figures of one market or of all, sorted by name."""
    shared = backend(request)
    if query.market is None:
        names = [entry.market for entry in shared.view.catalogue.markets()]
    else:
        names = [shared.market(query.market)]
    known = [shared.view.figures(name) for name in names]
    return json(answers.TickersAnswer([figures for figures in known if figures is not None]))


@router.get(
    "/markets",
    summary="Every market",
    responses=ok(
        answers.MarketsAnswer,
        {
            "markets": [
                {
                    "market": MARKET,
                    "venue": "kraken",
                    "symbol": "BTC-USD",
                    "base": "BTC",
                    "quote": "USD",
                    "basis": "trades",
                    "first_open_time_ms": 1761900000000,
                    "last_open_time_ms": 1761990300000,
                    "price_scale": 1,
                    "size_scale": 8,
                    "name": MARKET,
                    "chain": None,
                }
            ]
        },
    )
    | errors(),
)
async def markets(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return every market that is known, sorted by name."""
    return json(answers.MarketsAnswer(backend(request).view.catalogue.markets()))


@router.get(
    "/trending",
    summary="Coins most looked for",
    responses=ok(
        answers.TrendingAnswer,
        {
            "time_us": 1761990305120000,
            "coins": [
                {"coin": "bitcoin", "symbol": "BTC", "name": "Bitcoin", "market_cap_rank": 1}
            ],
        },
    )
    | errors(),
)
async def trending(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return what CoinGecko's users look for, first one first."""
    known = backend(request).view.catalogue.trending
    answer = answers.TrendingAnswer(None, [])
    if known is not None:
        answer = answers.TrendingAnswer(known.time_us, known.coins)
    return json(answer)


@router.get(
    "/feeds",
    summary="How each feed does",
    responses=ok(answers.FeedsAnswer, {"feeds": []}) | errors(),
)
async def feeds(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return the last report of each feed; one without any for 10 s is not alive."""
    shared = backend(request)
    return json(answers.FeedsAnswer(shared.view.catalogue.feeds(now_ms=shared.now_ms())))


@router.get(
    "/gaps",
    summary="Gaps of a market",
    responses=ok(
        answers.GapsAnswer,
        {
            "market": MARKET,
            "gaps": [
                {
                    "from_us": 1761990305120000,
                    "to_us": 1761990310120000,
                    "reason": "disconnected",
                    "filled": True,
                }
            ],
        },
    )
    | errors(404, 503),
)
async def gaps(request: Request, query: Annotated[queries.GapsQuery, Query()]) -> Response:
    """Return the newest spans in which trades were missed, sorted by their start."""
    shared = backend(request)
    market = shared.market(query.market)
    found = answers.gap_entries(await shared.store.gaps(market), query.start, query.end)
    return json(answers.GapsAnswer(market, found[max(0, len(found) - query.limit) :]))


@router.get(
    "/time",
    summary="The clock of the server",
    responses=ok(
        answers.TimeAnswer, {"time_ms": 1761990305120, "time": "2025-11-01T09:45:05.120+00:00"}
    )
    | errors(),
)
async def time(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return the time in milliseconds and as ISO 8601."""
    now_ms = backend(request).now_ms()
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return json(answers.TimeAnswer(now_ms, moment.isoformat(timespec="milliseconds")))
