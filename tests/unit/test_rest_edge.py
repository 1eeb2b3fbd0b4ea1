"""What every answer has in common: ids, headers, problems, limits, health."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from candles import MARKET, candle
from hypothesis import given
from hypothesis import strategies as st
from serving import NOW_MS, Served, serving
from structlog.testing import capture_logs

from chaintide.api.rest import allowance as allowances
from chaintide.api.rest.allowance import Allowance
from chaintide.api.rest.cursors import CursorError, seal, unseal
from chaintide.streams import topics
from chaintide.streams.feeds.status import FeedStatus

PROBLEM = "application/problem+json"
ORIGIN = "https://charts.example"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, origins=frozenset({ORIGIN})) as served:
        yield served


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/v1/nothing", 404, "/v1/nothing"),
        ("GET", "/v1/candles/", 404, "/v1/candles/"),
        ("POST", "/v1/candles", 405, "Not Allowed"),
        ("OPTIONS", "/v1/candles", 405, "Not Allowed"),
        ("GET", "/v1/candles", 400, "market: missing"),
        ("GET", f"/v1/candles?market={MARKET}&intervall=1m", 400, "unknown parameter 'intervall'"),
        ("GET", f"/v1/candles?market={MARKET}&limit=1001", 400, "limit"),
        ("GET", f"/v1/candles?market={MARKET}&start=yesterday", 400, "start: neither"),
        ("GET", "/v1/time?x=1", 400, "unknown parameter 'x'"),
        ("GET", "/healthz?x=1", 400, "unknown parameter 'x'"),
        ("GET", "/v1/candles?market=kraken:NO-NO", 404, "kraken:NO-NO"),
    ],
)
async def test_every_error_is_a_problem_with_the_id_of_the_request(
    api: Served, method: str, path: str, status: int, word: str
):
    answer = await api.http.request(method, path, headers={"X-Request-Id": "mine-1"})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status)
    assert answer.headers["content-type"] == PROBLEM
    assert word in body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"] == "mine-1"
    assert status != 405 or "GET" in answer.headers["allow"]


async def test_a_fault_of_ours_is_a_problem_without_details_and_is_logged(api: Served):
    api.backend.now_ms = lambda: 1 // 0
    with capture_logs() as logs:
        answer = await api.get("/v1/time")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "division" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    [failed, request] = logs
    assert "ZeroDivisionError" in repr(failed["exc_info"])
    assert failed["request_id"] == request["request_id"] == answer.json()["request_id"]


async def test_an_id_that_could_forge_a_log_line_is_not_taken(api: Served):
    for given_id in ("a b", "x" * 65, 'a"b'):
        answer = await api.http.get("/healthz", headers={"X-Request-Id": given_id})
        assert answer.headers["x-request-id"] != given_id
        assert len(answer.headers["x-request-id"]) == 32


async def test_a_request_is_one_line_in_the_log(api: Served):
    with capture_logs() as logs:
        await api.get("/v1/time")
        await api.get("/v1/nothing")
    assert [(row["log_level"], row["status"], row["path"]) for row in logs] == [
        ("debug", 200, "/v1/time"),
        ("info", 404, "/v1/nothing"),
    ]


async def test_every_answer_has_the_headers_that_protect_a_browser(api: Served):
    for path in ("/healthz", "/v1/nothing", "/v1/time"):
        headers = (await api.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "connect-src 'self'" in headers["content-security-policy"]


async def test_only_listed_origins_may_read_answers(api: Served):
    allowed = await api.http.get("/v1/time", headers={"Origin": ORIGIN})
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    for other in (f"{ORIGIN}.evil", "null", "http://charts.example"):
        answer = await api.http.get("/v1/time", headers={"Origin": other})
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in answer.headers.get_list("vary", split_commas=True)
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    preflight = await api.http.options("/v1/candles", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "GET"
    asked["Origin"] = "https://other.example"
    refused = await api.http.options("/v1/candles", headers=asked)
    assert "access-control-allow-methods" not in refused.headers


async def test_long_answers_are_compressed_for_those_who_can_read_it(api: Served):
    await api.stored(*(candle(minute) for minute in range(20)))
    path = f"/v1/candles?market={MARKET}"
    plain = await api.http.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "br, gzip;q=0.5"):
        async with api.http.stream("GET", path, headers={"Accept-Encoding": accepted}) as packed:
            raw = b"".join([part async for part in packed.aiter_raw()])
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) == len(raw) < len(plain.content) / 4
        assert gzip.decompress(raw) == plain.content
    refused = await api.http.get(path, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path):
    async with serving(tmp_path, per_minute=3) as api:
        left = [(await api.get("/v1/time")).headers["ratelimit-remaining"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        refused = await api.get("/v1/time")
        assert (refused.status_code, refused.headers["content-type"]) == (429, PROBLEM)
        assert refused.headers["retry-after"] == "20"
        assert refused.headers["ratelimit-limit"] == "3"
        assert refused.headers["ratelimit-policy"] == "3;w=60"
        klines = await api.get("/api/v3/klines")
        assert (klines.status_code, klines.json()["code"]) == (429, -1003)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await api.get(path)).status_code == 200, "watchers are always answered"


@given(st.lists(st.integers(0, 30_000), max_size=40), st.integers(1, 8))
def test_nobody_gets_more_than_the_allowance_in_any_minute(waits: list[int], per_minute: int):
    allowance, now_ms, allowed = Allowance(per_minute), 0, []
    for wait_ms in waits:
        now_ms += wait_ms
        verdict = allowance.spend("a", now_ms=now_ms)
        if verdict.is_allowed:
            allowed.append(now_ms)
        else:
            later_ms = now_ms + verdict.retry_after_s * 1000
            tokens, then_ms = allowance._clients["a"]
            assert tokens + (later_ms - then_ms) * per_minute / 60_000 >= 1 - 1e-9
    for start_ms in allowed:
        inside = [t for t in allowed if start_ms <= t < start_ms + 60_000]
        assert len(inside) <= 2 * per_minute, "the bucket, and what refills it meanwhile"


def test_clients_do_not_share_an_allowance_and_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allowances, "MAX_CLIENTS", 2)
    allowance = Allowance(1)
    assert [allowance.spend(name, now_ms=0).is_allowed for name in "aab"] == [True, False, True]
    assert allowance.spend("c", now_ms=0).is_allowed
    assert allowance.spend("a", now_ms=0).is_allowed, "forgotten"


@given(
    st.integers(0, 10**14), st.text(max_size=9), st.integers(0, 26), st.characters(codec="ascii")
)
def test_a_cursor_opens_with_its_key_and_scope_only(time_ms: int, scope: str, at: int, char: str):
    cursor = seal(b"key", scope, time_ms)
    assert unseal(b"key", scope, cursor) == time_ms
    changed = cursor[:at] + char + cursor[at + 1 :]
    for key, its_scope, text in (
        (b"other", scope, cursor),
        (b"key", scope + "x", cursor),
        (b"key", scope, changed),
    ):
        try:
            opened = unseal(key, its_scope, text)
        except CursorError:
            continue
        assert text != cursor or (key, its_scope) == (b"key", scope)
        assert opened == time_ms, "another spelling of the same bytes"


# ---------------------------------------------------------------------- health


async def test_readiness_names_what_is_amiss(api: Served):
    async def ready() -> tuple[int, str, dict[str, str]]:
        answer = await api.get("/readyz")
        amiss = {c["name"]: c["reason"] for c in answer.json()["checks"] if not c["is_ok"]}
        return answer.status_code, answer.json()["status"], amiss

    assert await ready() == (200, "ready", {})
    around: Any = api.backend.surroundings
    around.messages_behind = {"worker": 10_000}
    api.record(topics.FEEDS, FeedStatus("kraken", [MARKET]).report(now_ms=NOW_MS))
    api.record(topics.FEEDS, FeedStatus("binance", [MARKET]).report(now_ms=NOW_MS - 60_000))
    assert await ready() == (
        200,
        "degraded",
        {
            "worker": "10000 messages behind",
            "sink": "not known how far behind",
            "feed:kraken": "connecting: nothing came yet",
            "feed:binance": "no report for 60 s",
        },
    )
    around.kafka_fault, around.store_fault = "no answer", "disk full"
    status, word, amiss = await ready()
    assert (status, word) == (503, "unready")
    assert (amiss["kafka"], amiss["store"]) == ("no answer", "disk full")
    assert (await api.get("/healthz")).json() == {"status": "ok"}


async def test_a_view_that_is_not_up_to_date_is_not_ready(api: Served):
    api.backend.following.lack = "still reading"
    assert (await api.get("/readyz")).status_code == 503


async def test_metrics_say_what_was_asked_and_how_the_feeds_do(api: Served):
    await api.stored(candle(0))
    await api.get("/v1/candles", market=MARKET)
    await api.get("/v1/nothing")
    status = FeedStatus("kraken", [MARKET], last_message_ms=NOW_MS - 1_500, lag_ms=40)
    api.record(topics.FEEDS, status.report(now_ms=NOW_MS))
    text = (await api.get("/metrics")).text
    for line in (
        'chaintide_http_requests_total{method="GET",route="/v1/candles",status="200"} 1.0',
        'chaintide_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'chaintide_http_seconds_count{route="/v1/candles"} 1.0',
        'chaintide_messages_behind{role="sink"} 0.0',
        'chaintide_feed_silence_seconds{venue="kraken"} 1.5',
        'chaintide_feed_lag_seconds{venue="kraken"} 0.04',
        'chaintide_feed_gaps_total{venue="kraken"} 0.0',
        "chaintide_ready 1.0",
    ):
        assert line in text.splitlines()
