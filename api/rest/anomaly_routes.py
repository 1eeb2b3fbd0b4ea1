"""The route about anomalies."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from chaintide.api.rest import answers, queries
from chaintide.api.rest.backend import Backend
from chaintide.api.rest.cursors import CursorError, seal, unseal
from chaintide.api.rest.market_routes import backend, json
from chaintide.api.rest.problems import ProblemError
from chaintide.api.rest.schema import MARKET, errors, ok
from chaintide.streams.records import Market

router: Final = APIRouter(prefix="/v1", tags=["anomalies"], default_response_class=Response)
_PLACES_A_MS: Final = 1_000_000
_LAST_PLACE: Final = 2**63 - 1  # in the year 2262
_ANOMALY: Final = {
    "type": "anomaly",
    "anomaly_id": f"{MARKET}|1761990305120000|7001",
    "market": MARKET,
    "event": None,
    "time_us": 1761990305120000,
    "kind": "size",
    "score": 0.984,
    "reasons": [
        {
            "feature": "size",
            "value": 41.5,
            "usual": 0.21,
            "words": "size 41.5 at once, 198 times the usual largest of a second; "
            "once in 61.5 days",
        }
    ],
    "trade_id": 7001,
    "log": None,
    "block": None,
    "address": None,
    "status": "raised",
    "methodology": "tails of each feature by market, fitted online; alarms held to a budget",
    "v": 1,
}


@router.get(
    "/anomalies",
    summary="What was unlike before in a market",
    responses=ok(answers.AnomaliesPage, {"market": MARKET, "anomalies": [_ANOMALY], "next": None})
    | errors(404, 503),
)
async def anomalies(
    request: Request, query: Annotated[queries.AnomaliesQuery, Query()]
) -> Response:
    """Return a page of anomalies, sorted by time; those of undone blocks have been withdrawn.

    With ``start`` pages go forwards from there, without it backwards from the newest. Go on
    with ``next`` as ``cursor`` while it is not null.
    """
    shared = backend(request)
    market = _market(shared, query.market)
    start, end = _span(shared, query)
    stored = await shared.store.anomalies(market, start, end, query.limit)
    found = shared.view.anomalies.over(market, stored, start, end)
    is_forwards = query.start is not None
    page = found[: query.limit] if is_forwards else found[max(0, len(found) - query.limit) :]
    after = None
    if len(page) == query.limit:
        place = page[-1].place + 1 if is_forwards else page[0].place
        after = seal(shared.cursor_key, query.scope, place)
    return json(answers.AnomaliesPage(market, page, after))


def _market(shared: Backend, name: str) -> Market:
    """Return the market, or the contract whose events are judged."""
    if name in shared.view.anomalies or shared.view.catalogue.is_contract(name):
        return Market(name)
    return shared.market(name)


def _span(shared: Backend, query: queries.AnomaliesQuery) -> tuple[int | None, int | None]:
    start, end = [
        None if ms is None else min(ms * _PLACES_A_MS, _LAST_PLACE)
        for ms in (query.start, query.end)
    ]
    if query.cursor is None:
        return start, end
    try:
        place = unseal(shared.cursor_key, query.scope, query.cursor)
    except CursorError as error:
        wrong = {"parameter": "cursor", "reason": str(error)}
        raise ProblemError(400, f"cursor: {error}", errors=[wrong]) from error
    return (None, place) if start is None else (place, end)
