"""The routes about probabilities, and how good they are."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from chaintide.api.rest import answers, queries
from chaintide.api.rest.backend import Backend
from chaintide.api.rest.market_routes import backend, json
from chaintide.api.rest.problems import ProblemError
from chaintide.api.rest.schema import MARKET, errors, ok
from chaintide.api.state.forecasts import fresh, model_entry, place_of
from chaintide.streams.intervals import Interval

router: Final = APIRouter(prefix="/v1", tags=["probabilities"], default_response_class=Response)
HISTORY: Final = 500
_PROBABILITY: Final = {
    "prediction_id": f"{MARKET}|1m|5|1761990360000",
    "market": MARKET,
    "interval": "1m",
    "horizon": 5,
    "issued_at": 1761990360000,
    "due_at": 1761990660000,
    "expires_at": 1761990480000,
    "probability_up": 0.507,
    "probability_flat": 0.011,
    "probability_down": 0.482,
    "confidence_level": 0.21,
    "evidence": 1.4,
    "n_labels": 812,
    "price_ref": 110124.0,
    "price_source": "close",
    "price_target": 110124.6,
    "quantiles": [110010.2, 110034.9, 110079.3, 110124.6, 110170.1, 110214.2, 110240.8],
    "model_id": "1m/5",
    "model_version": "5f0c0b7c1d0e",
    "features_hash": "9a1be27734fa",
    "methodology": "mixture of online linear experts and a base rate",
    "status": "issued",
}
_MODEL: Final = {
    "market": MARKET,
    "model_id": "1m/5",
    "interval": "1m",
    "horizon": 5,
    "as_of_ms": 1761990360000,
    "model_version": "5f0c0b7c1d0e",
    "features_hash": "9a1be27734fa",
    "verdict": "no better than the base rate",
    "skill": 0.0003,
    "issued": 820,
    "resolved": 812,
    "pending": 5,
    "void": 3,
    "amended": 1,
    "labels": 812,
    "log_loss": 0.6929,
    "log_loss_base": 0.6931,
    "brier": 0.2499,
    "brier_base": 0.25,
    "ece": 0.051,
    "ece_floor": 0.121,
    "coverage_50": 0.51,
    "coverage_80": 0.79,
    "coverage_90": 0.9,
    "gap1_brier": 0.25,
    "gap1_brier_base": 0.25,
    "evidence": 1.4,
    "drift_alarms": 1,
    "has_challenger": True,
    "challengers": 1,
    "promotions": 0,
    "steps": [
        {"time_ms": 1761985500000, "kind": "drift"},
        {"time_ms": 1761985500000, "kind": "challenger"},
    ],
}
_CALIBRATION: Final = {
    "model": _MODEL,
    "bins": [{"labels": 54, "said": 0.48, "came": 0.5}],
    "steps": [{"time_ms": 1761985500000, "kind": "drift"}],
    "history": [{"time_ms": 1761990360000, "labels": 812, "skill": 0.0003}],
}


@router.get(
    "/probabilities",
    summary="How likely a market goes up or down",
    responses=ok(
        answers.ProbabilitiesAnswer,
        {"market": MARKET, "interval": "1m", "probabilities": [_PROBABILITY]},
    )
    | errors(404, 503),
)
async def probabilities(
    request: Request, query: Annotated[queries.ProbabilitiesQuery, Query()]
) -> Response:
    """Return the newest prediction of each horizon, the nearest first.

    One that has expired is left out, unless ``expired`` asks for it; its ``status`` says so.
    """
    shared = backend(request)
    market, now_ms = shared.market(query.market), shared.now_ms()
    said = [
        one
        for one in shared.view.forecasts.predictions(market, query.interval)
        if query.horizon in {None, one.horizon}
    ]
    entries = (
        [one.told(now_ms=now_ms) for one in said] if query.expired else fresh(said, now_ms=now_ms)
    )
    return json(answers.ProbabilitiesAnswer(market, query.interval, entries))


@router.get(
    "/models",
    summary="How good every model is",
    responses=ok(answers.ModelsPage, {"models": [_MODEL], "next": None}) | errors(503),
)
async def models(request: Request, query: Annotated[queries.ModelsQuery, Query()]) -> Response:
    """Return a page of models, sorted by market, interval and horizon.

    Go on with ``next`` as ``after`` while it is not null.
    """
    shared = backend(request)
    _check_read(shared)
    market = None if query.market is None else shared.known(query.market)
    found = shared.view.forecasts.scores(market, query.interval, query.after)
    page = found[: query.limit]
    is_more = len(found) > query.limit
    after = place_of(page[-1]) if is_more else None
    return json(answers.ModelsPage([model_entry(score) for score in page], after))


@router.get(
    "/models/{interval}/{horizon}/calibration",
    summary="Whether a model means what it says",
    responses=ok(answers.Calibration, _CALIBRATION) | errors(404, 503),
)
async def calibration(
    request: Request,
    interval: Annotated[Interval, Path(description="Length of a candle.")],
    horizon: Annotated[int, Path(ge=1, le=48, description="How many candles ahead.")],
    query: Annotated[queries.CalibrationQuery, Query()],
) -> Response:
    """Return what was said beside how often it came, and the skill as it has been.

    The id of a model, as in ``1m/5``, is part of the path.
    """
    shared = backend(request)
    market = shared.known(query.market)
    score = shared.view.forecasts.score(market, interval, horizon)
    if score is None:
        _check_read(shared)
        raise ProblemError(404, f"no model {interval}/{horizon} of {market}, see /v1/models")
    past = await shared.store.score_history(market, interval, horizon, HISTORY)
    history = [
        answers.SkillPoint(one.as_of_ms, one.labels, one.skill)
        for one in [*past, score]
        if one.as_of_ms <= score.as_of_ms
    ]
    return json(answers.Calibration(model_entry(score), score.bins, score.steps, history))


def _check_read(shared: Backend) -> None:
    if shared.following.lack:
        raise ProblemError(503, "the scores are not read yet", retry_after_s=1)
