"""The routes about probabilities: nothing stale is shown as fresh, and no claim is luck."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from candles import MARKET, candle
from forecasts import predicted, prediction, score
from serving import NOW_MS, Served, serving

from chaintide.api.loading import load_patiently
from chaintide.api.state.forecasts import Forecasts
from chaintide.api.state.view import LogRecord
from chaintide.streams import codec, topics
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.probabilities import Prediction, Step
from chaintide.streams.records import Market

LAST = NOW_MS // MINUTE_MS - 1  # the candle that closed last
KEYS = {"market": MARKET, "interval": "1m"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.stored(candle(LAST))
        yield served


async def test_a_prediction_is_told_in_the_words_of_readers(api: Served):
    said = prediction(LAST, horizon=5)
    api.record(topics.PROBABILITIES, predicted(prediction(LAST), said))
    answer = (await api.get("/v1/probabilities", **KEYS, horizon=5)).json()
    [entry] = answer["probabilities"]
    assert entry == msgspec.to_builtins(said)
    assert entry["probability_up"] == said.p_up
    both = (await api.get("/v1/probabilities", **KEYS)).json()["probabilities"]
    assert [one["horizon"] for one in both] == [1, 5]


async def test_an_expired_prediction_is_left_out_or_says_that_it_is(api: Served):
    old = prediction(LAST - 3)
    assert old.expires_at <= NOW_MS
    api.record(topics.PROBABILITIES, predicted(old))
    assert (await api.get("/v1/probabilities", **KEYS)).json()["probabilities"] == []
    [entry] = (await api.get("/v1/probabilities", **KEYS, expired="true")).json()["probabilities"]
    assert entry["status"] == "expired"


async def test_an_older_prediction_never_replaces_a_newer_one(api: Served):
    newest = prediction(LAST)
    api.record(topics.PROBABILITIES, predicted(newest))
    api.record(topics.PROBABILITIES, predicted(prediction(LAST - 1, p_up=0.9)))
    [entry] = (await api.get("/v1/probabilities", **KEYS)).json()["probabilities"]
    assert entry["prediction_id"] == newest.prediction_id


async def test_a_server_that_starts_knows_the_newest_predictions_of_the_store(api: Served):
    await api.store.write_forecasts([predicted(prediction(LAST, horizon=15))], [])
    await load_patiently(api.backend.view, api.store)
    [entry] = (await api.get("/v1/probabilities", **KEYS)).json()["probabilities"]
    assert entry["horizon"] == 15


def update(
    api: Served, *predictions: object, offset: int, time_ms: int
) -> list[tuple[int, str | int]]:
    value = codec.encode(predicted(*predictions))
    record = LogRecord(topics.PROBABILITIES.name, offset, time_ms, value)
    return [(one.seq, one.key) for one in api.backend.view.on_record(record)]


async def test_a_channel_begins_with_what_is_fresh_and_conflates_what_was_made_together(
    api: Served,
):
    channel = f"prob:{MARKET}:1m"
    found = update(
        api,
        prediction(LAST - 1),
        prediction(LAST),
        prediction(LAST, horizon=5),
        prediction(LAST, horizon=5, interval="5m"),
        offset=9,
        time_ms=NOW_MS,
    )
    assert found == [(10_000, "1"), (10_001, "1,5"), (10_000, "5")]
    snapshot = api.backend.view.snapshot(channel, 48)
    assert snapshot is not None
    assert (snapshot.seq, len(snapshot.data)) == (10_001, 2)
    assert b'"probability_up":0.53' in snapshot.data[0]
    update(api, prediction(LAST - 1), offset=10, time_ms=NOW_MS + 10 * MINUTE_MS)
    later = api.backend.view.snapshot(channel, 48)
    assert later is not None
    assert (later.seq, later.data) == (10_001, [])


def test_only_what_is_new_of_an_update_is_told():
    forecasts = Forecasts()
    newer, older = prediction(LAST), prediction(LAST - 1)
    forecasts.on_prediction(newer)
    other = prediction(LAST - 1, horizon=5)
    pairs = [(one, codec.encode(one)) for one in (older, other)]
    [one] = forecasts.on_predictions(pairs, 0, NOW_MS)
    assert msgspec.json.decode(one.data, type=list[Prediction]) == [other]
    assert one.key == "5"
    assert forecasts.on_predictions(pairs[:1], 1, NOW_MS) == []


def test_an_update_says_when_it_expires_and_is_told_as_it_was_written():
    said = [prediction(LAST, status="refreshed"), prediction(LAST, horizon=5, status="refreshed")]
    texts = [codec.encode(one) for one in said]
    [one] = Forecasts().on_predictions(zip(said, texts, strict=True), 0, NOW_MS)
    expires_ms = said[0].expires_at
    assert one.expires_ms == expires_ms
    assert one.data_at(expires_ms - 1) == b"[" + b",".join(texts) + b"]"
    late = msgspec.json.decode(one.data_at(expires_ms), type=list[Prediction])
    assert late == [each.told(now_ms=expires_ms) for each in said]
    assert {each.status for each in late} == {"expired"}


def test_a_record_that_was_written_over_several_lines_is_told_in_one():
    said = prediction(LAST)
    [one] = Forecasts().on_predictions([(said, b"{\n}")], 0, NOW_MS)
    assert msgspec.json.decode(one.data, type=list[Prediction]) == [said]


def test_a_closed_candle_is_urgent_while_a_prediction_of_its_market_is_to_come():
    forecasts, said = Forecasts(), prediction(LAST)
    forecasts.on_candle(candle(LAST))
    assert forecasts.urgent == 0, "nobody predicts"
    forecasts.on_prediction(said)
    forecasts.on_candle(candle(LAST))
    assert forecasts.urgent == 1, "the prediction itself; nothing more is to come"
    forecasts.on_candle(candle(LAST + 1, status="open", revision=0))
    assert forecasts.urgent == 1
    forecasts.on_candle(candle(LAST + 1))
    assert forecasts.urgent == 2
    forecasts.on_candle(candle(LAST + 3))
    assert forecasts.urgent == 2, "nobody has predicted for long"
    forecasts.on_prediction(prediction(LAST + 1, status="refreshed"))
    assert forecasts.urgent == 2


def test_a_horizon_that_is_not_predicted_any_more_does_not_matter():
    forecasts = Forecasts()
    forecasts.on_prediction(prediction(LAST - 9, horizon=48))
    forecasts.on_prediction(prediction(LAST))
    forecasts.on_candle(candle(LAST + 1))
    assert forecasts.urgent == 3


def test_of_a_chain_a_prediction_comes_once_a_candle_is_final():
    forecasts, market = Forecasts(), Market("5151:0xa1/0x01")
    forecasts.on_prediction(prediction(LAST, market=market))
    forecasts.on_candle(candle(LAST + 1, market=market))
    assert forecasts.urgent == 1
    forecasts.on_candle(candle(LAST + 1, market=market, status="final"))
    assert forecasts.urgent == 2


def test_what_is_refreshed_as_a_candle_closes_replaces_what_was_issued():
    said = [prediction(LAST), prediction(LAST, status="refreshed")]
    pairs = [(one, codec.encode(one)) for one in said]
    issued, refreshed = Forecasts().on_predictions(pairs, 0, NOW_MS)
    assert (issued.key, refreshed.key) == ("1", "1")
    assert issued.seq < refreshed.seq


async def test_models_are_paged_and_chosen(api: Served):
    for horizon in (15, 5):
        for interval in ("1m", "5m"):
            api.record(topics.SCORES, score(LAST, horizon=horizon, interval=interval))
    first = (await api.get("/v1/models", market=MARKET, limit=3)).json()
    assert [one["model_id"] for one in first["models"]] == ["1m/5", "1m/15", "5m/5"]
    rest = (await api.get("/v1/models", after=first["next"])).json()
    assert [one["model_id"] for one in rest["models"]] == ["5m/15"]
    assert rest["next"] is None
    chosen = (await api.get("/v1/models", interval="5m")).json()["models"]
    assert [one["model_id"] for one in chosen] == ["5m/5", "5m/15"]
    assert (await api.get("/v1/models", market="x:Y")).json()["models"] == []


@pytest.mark.parametrize(
    ("labels", "evidence", "verdict"),
    [
        (29, 99.0, "learning"),
        (30, 19.9, "no better than the base rate"),
        (30, 20.0, "better than the base rate"),
    ],
)
async def test_only_what_is_no_luck_is_called_better(
    api: Served, labels: int, evidence: float, verdict: str
):
    api.record(topics.SCORES, score(LAST, labels=labels, evidence=evidence))
    [model] = (await api.get("/v1/models")).json()["models"]
    assert model["verdict"] == verdict
    assert model["skill"] == pytest.approx(1 - 0.6929 / 0.6931)


async def test_calibration_shows_bins_drifts_and_the_skill_as_it_has_been(api: Served):
    past = [score(LAST - back, labels=600 - back) for back in (60, 30)]
    await api.store.write_forecasts([], past)
    api.record(topics.SCORES, score(LAST, steps=[Step(7, "drift")]))
    answer = (await api.get("/v1/models/1m/1/calibration", market=MARKET)).json()
    assert [one["labels"] for one in answer["history"]] == [540, 570, 600]
    assert answer["bins"][1] == {"labels": 300, "said": 0.52, "came": 0.55}
    assert answer["steps"] == [{"time_ms": 7, "kind": "drift"}]
    assert answer["model"]["ece_floor"] == 0.06
    missing = await api.get("/v1/models/1m/7/calibration", market=MARKET)
    assert missing.status_code == 404
    assert "no model 1m/7" in missing.json()["detail"]


async def test_nobody_says_there_is_no_model_before_scores_are_read(api: Served):
    api.backend.following.lack = "reading"
    answer = await api.get("/v1/models/1m/7/calibration", market=MARKET)
    assert answer.status_code == 503
    assert (await api.get("/v1/models")).status_code == 503


def test_scores_of_a_replaced_forecaster_change_nothing():
    known = Forecasts()
    known.on_score(score(offset=9, generation=2))
    known.on_score(score(offset=10, generation=1, labels=1))
    found = known.score(score().market, "1m", 1)
    assert found is not None
    assert found.labels == 600
