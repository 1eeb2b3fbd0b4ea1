"""The routes about pools of chains."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from chaintide.api.rest import answers, queries
from chaintide.api.rest.backend import Backend
from chaintide.api.rest.market_routes import backend, json
from chaintide.api.rest.problems import ProblemError
from chaintide.api.rest.schema import POOL, errors, ok
from chaintide.api.state.pools import PoolEntry, entry_of
from chaintide.streams.views import PoolView

router: Final = APIRouter(prefix="/v1", tags=["chains"], default_response_class=Response)
PoolName = Annotated[
    str,
    Path(
        min_length=1,
        max_length=200,
        description="The market of the pool, `chain-id:stream`, or its name.",
        examples=[POOL["market"]],
    ),
]


@router.get(
    "/pools",
    summary="What the pools of chains hold",
    responses=ok(answers.PoolsPage, {"pools": [POOL], "next": None}) | errors(503),
)
async def pools(request: Request, query: Annotated[queries.PoolsQuery, Query()]) -> Response:
    """Return a page of pools, sorted by the name of their market; with ``market`` that one, if any.

    Go on with ``next`` as ``after`` while it is not null.
    """
    shared = backend(request)
    _check_read(shared)
    if query.market is None:
        found = shared.view.pools.after(query.after, query.chain)
    else:
        one = shared.view.pools.view(shared.known(query.market))
        found = [] if one is None else [one]
    page = [_entry(shared, view) for view in found[: query.limit]]
    is_more = len(found) > query.limit
    return json(answers.PoolsPage(page, page[-1].market if is_more else None))


@router.get(
    "/pools/{market:path}",
    summary="What one pool holds",
    responses=ok(PoolEntry, POOL) | errors(404, 503),
)
async def pool(
    request: Request, market: PoolName, _: Annotated[queries.Query, Query()]
) -> Response:
    """Return reserves, or price and liquidity, as of the last block in which they changed."""
    shared = backend(request)
    view = shared.view.pools.view(shared.known(market))
    if view is None:
        _check_read(shared)
        raise ProblemError(404, f"there is no pool {market}, see /v1/pools")
    return json(_entry(shared, view))


def _entry(shared: Backend, view: PoolView) -> PoolEntry:
    return entry_of(view, shared.view.catalogue.alias(view.market))


def _check_read(shared: Backend) -> None:
    if shared.following.lack:
        raise ProblemError(503, "the pools are not read yet", retry_after_s=1)
