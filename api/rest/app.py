"""The application: every route, and every error as a problem."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from chaintide.api.rest import (
    anomaly_routes,
    client_routes,
    forecast_routes,
    health_routes,
    klines,
    market_routes,
    pool_routes,
    problems,
    schema,
)
from chaintide.api.rest.allowance import Allowance
from chaintide.api.rest.backend import Backend
from chaintide.api.rest.edge import REQUEST_ID, Edge
from chaintide.api.rest.metrics import Metrics
from chaintide.api.rest.problems import ProblemError
from chaintide.streams import codec
from chaintide.streams.errors import RetryableError

VERSION: Final = "1.0.0"


def new_app(backend: Backend) -> FastAPI:
    """Return the application around ``backend``, without its edge."""
    app = FastAPI(
        title="Chaintide",
        version=VERSION,
        description=schema.DESCRIPTION,
        docs_url=None,  # these pages load scripts of others
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.backend = backend
    app.state.metrics = Metrics(backend)
    for module in (
        market_routes,
        pool_routes,
        forecast_routes,
        anomaly_routes,
        client_routes,
        health_routes,
    ):
        app.include_router(module.router)
    app.add_exception_handler(RequestValidationError, _on_wrong_parameters)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RetryableError, _on_retryable)
    app.add_exception_handler(klines.KlineError, _on_kline_error)
    app.add_exception_handler(Exception, _on_fault)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # as FastAPI tells to
    return app


def with_edge(
    app: FastAPI,
    *,
    per_minute: int,
    origins: frozenset[str],
    clock: tuple[Callable[[], int], Callable[[], float]],
) -> Edge:
    """Return ``app`` behind its edge; ``per_minute`` 0 sets no limit."""
    return Edge(
        app,
        metrics=app.state.metrics,
        allowance=Allowance(per_minute) if per_minute else None,
        origins=origins,
        clock=clock,
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        app.openapi_schema = schema.completed(document)
    return app.openapi_schema


def _answer(request: Request, error: ProblemError, headers: dict[str, str]) -> Response:
    members: dict[str, Any] = {"errors": error.errors} if error.errors else {}
    if request.url.path.startswith("/udf/"):  # what the charting library looks for
        members |= {"s": "error", "errmsg": error.detail}
    if error.retry_after_s is not None:
        headers = headers | {"Retry-After": str(error.retry_after_s)}
    body = problems.body(error.status, error.detail, request.scope[REQUEST_ID], members)
    return Response(body, status_code=error.status, headers=headers, media_type=problems.MEDIA_TYPE)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  it was registered for this one
    return _answer(request, error, {})


async def _on_fault(request: Request, _: Exception) -> Response:
    return _answer(request, ProblemError(500, "a fault of this program"), {})


async def _on_retryable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RetryableError)  # noqa: S101
    wait_s = max(1, round(error.retry_after_s))
    return _answer(request, ProblemError(503, str(error), retry_after_s=wait_s), {})


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    detail = f"there is no {request.url.path}" if error.status_code == 404 else error.detail
    return _answer(request, ProblemError(error.status_code, detail), dict(error.headers or {}))


async def _on_kline_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, klines.KlineError)  # noqa: S101
    body = codec.encode({"code": error.code, "msg": error.message})
    return Response(body, status_code=400, media_type="application/json")


async def _on_wrong_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [_wrong(row) for row in error.errors()]
    first = found[0]
    detail = (
        f"unknown parameter {first['parameter']!r}"
        if first["reason"] == "unknown"
        else f"{first['parameter']}: {first['reason']}"
    )
    return _answer(request, ProblemError(400, detail, errors=found), {})


def _wrong(row: dict[str, Any]) -> dict[str, str]:
    reasons = {"extra_forbidden": "unknown", "missing": "missing"}
    reason = reasons.get(row["type"], row["msg"].removeprefix("Value error, "))
    return {"parameter": ".".join(str(part) for part in row["loc"][1:]), "reason": reason}
