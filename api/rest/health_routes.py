"""The routes that watch over a process ask for."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from chaintide.api.rest import answers, metrics, queries
from chaintide.api.rest.market_routes import backend, json
from chaintide.api.rest.schema import errors, ok
from chaintide.streams import codec

router: Final = APIRouter(tags=["health"], default_response_class=Response)
_UNREADY: Final = {
    "status": "unready",
    "epoch": "",
    "checks": [{"name": "kafka", "is_ok": False, "is_required": True, "reason": "does not answer"}],
}
_READY: Final = {"status": "ready", "epoch": "k3f9a0c1", "checks": []}
_TEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Metrics.", "content": {"text/plain": {}}}
}


def _ready_answers() -> dict[int | str, dict[str, Any]]:
    content = ok(answers.ReadyAnswer, _UNREADY)[200]
    return ok(answers.ReadyAnswer, _READY) | errors() | {503: content | {"description": "Unready."}}


@router.get(
    "/healthz",
    summary="Does the process answer",
    responses=ok(answers.HealthAnswer, {"status": "ok"}) | errors(),
)
async def healthz(_: Annotated[queries.Query, Query()]) -> Response:
    """Return ok, whatever else is down."""
    return json(answers.HealthAnswer("ok"))


@router.get("/readyz", summary="Is there service", responses=_ready_answers())
async def readyz(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return 503 without Kafka, the store, or a state that is up to date.

    That a worker, a sink or a feed is behind is said, but there is service all the same.
    """
    answer = backend(request).readiness()
    return Response(
        codec.encode(answer),
        status_code=503 if answer.status == "unready" else 200,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


@router.get("/metrics", summary="Metrics for Prometheus", responses=_TEXT | errors())
async def metrics_text(request: Request, _: Annotated[queries.Query, Query()]) -> Response:
    """Return counts and gauges."""
    counts: metrics.Metrics = request.app.state.metrics
    return Response(counts.text(), headers={"Content-Type": metrics.CONTENT_TYPE})
