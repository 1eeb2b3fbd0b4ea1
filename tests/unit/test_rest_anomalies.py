"""Anomalies as they are served: by REST, and as channels."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from anomalies import anomaly, told
from candles import MARKET, candle
from serving import NOW_MS, Served, serving

from chaintide.api.live.channels import parse_channel
from chaintide.api.loading import load_patiently
from chaintide.api.state import anomalies
from chaintide.api.state.view import LogRecord
from chaintide.streams import codec, topics
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.intervals import MINUTE_MS

LAST_S = NOW_MS // 1000 - 60
CONTRACT = "5151:0xvault"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.stored(candle(NOW_MS // MINUTE_MS - 1))
        yield served


async def seconds(api: Served, **query: object) -> list[int]:
    page = (await api.get("/v1/anomalies", market=MARKET, **query)).json()
    return [one["time_us"] // 1_000_000 - LAST_S for one in page["anomalies"]]


async def test_an_anomaly_is_told_as_it_was_written(api: Served):
    one = anomaly(LAST_S)
    api.record(topics.ANOMALIES, told(one))
    page = (await api.get("/v1/anomalies", market=MARKET)).json()
    assert page == {"market": MARKET, "anomalies": [msgspec.to_builtins(one)], "next": None}


async def test_what_the_store_has_lies_below_what_the_topic_says(api: Served):
    await api.store.write_anomalies([told(*[anomaly(LAST_S + n) for n in (-2, -1, 0)])])
    api.record(topics.ANOMALIES, told(anomaly(LAST_S, status="withdrawn"), anomaly(LAST_S + 1)))
    page = (await api.get("/v1/anomalies", market=MARKET)).json()
    found = [(one["time_us"] // 10**6 - LAST_S, one["status"]) for one in page["anomalies"]]
    assert found == [(-2, "raised"), (-1, "raised"), (0, "withdrawn"), (1, "raised")]
    assert await seconds(api, limit=2) == [0, 1]
    start_ms = (LAST_S - 1) * 1000
    assert await seconds(api, start=start_ms, limit=2) == [-1, 0]
    assert await seconds(api, start=start_ms, end=LAST_S * 1000) == [-1]


@pytest.mark.parametrize("is_forwards", [True, False])
async def test_pages_lead_through_all_of_them_once(api: Served, is_forwards: bool):
    written = [anomaly(LAST_S + n // 3, anomaly_id=f"{n}") for n in range(10)]
    await api.store.write_anomalies([told(*written[:7])])
    api.record(topics.ANOMALIES, told(*written[5:]))
    query = {"market": MARKET, "limit": 4, "start": 0 if is_forwards else None}
    found: list[str] = []
    cursor = None
    for _ in range(4):
        page = (await api.get("/v1/anomalies", **query, cursor=cursor)).json()
        ids = [one["anomaly_id"] for one in page["anomalies"]]
        found = found + ids if is_forwards else ids + found
        if (cursor := page["next"]) is None:
            break
    assert found == [one.anomaly_id for one in sorted(written, key=lambda one: one.place)]


async def test_a_cursor_of_other_parameters_is_refused(api: Served):
    await api.store.write_anomalies([told(anomaly(LAST_S), anomaly(LAST_S + 1))])
    first = (await api.get("/v1/anomalies", market=MARKET, limit=1)).json()["next"]
    answer = await api.get("/v1/anomalies", market=MARKET, start=0, limit=1, cursor=first)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "cursor"
    assert (await api.get("/v1/anomalies", market=MARKET, cursor="!")).status_code == 400


async def test_a_market_that_nobody_knows_is_not_found(api: Served):
    assert (await api.get("/v1/anomalies", market="x:Y")).status_code == 404
    assert (await api.get("/v1/anomalies", market=MARKET)).json()["anomalies"] == []


async def test_a_contract_that_is_no_market_has_anomalies_too(api: Served):
    one = anomaly(LAST_S, market=CONTRACT, event="Deposited")
    api.record(topics.ANOMALIES, told(one))
    page = (await api.get("/v1/anomalies", market=CONTRACT)).json()
    assert [found["event"] for found in page["anomalies"]] == ["Deposited"]
    snapshot = api.backend.view.snapshot(f"anomalies:{CONTRACT}", 5)
    assert snapshot is not None
    assert len(snapshot.data) == 1
    names = {row["market"] for row in (await api.get("/v1/markets")).json()["markets"]}
    assert CONTRACT not in names
    assert api.backend.view.snapshot(f"trades:{CONTRACT}", 5) is None


async def test_a_contract_of_a_known_chain_has_a_channel_before_its_first_anomaly(api: Served):
    quiet = f"31337:0x{'ab' * 20}"
    view = api.backend.view
    assert view.snapshot(f"anomalies:{quiet}", 5) is None, "nobody has heard of its chain"
    assert (await api.get("/v1/anomalies", market=quiet)).status_code == 404
    api.record(topics.FEEDS, FeedStatus("31337", [], state="live").report(now_ms=NOW_MS))
    for subject in (quiet, MARKET):
        snapshot = view.snapshot(f"anomalies:{subject}", 5)
        assert snapshot is not None
        assert snapshot.data == []
    assert (await api.get("/v1/anomalies", market=quiet)).json()["anomalies"] == []
    for wrong in ("31337:0xab", f"31338:0x{'ab' * 20}", "31337:BTC-USD"):
        assert view.snapshot(f"anomalies:{wrong}", 5) is None
    assert view.snapshot(f"trades:{quiet}", 5) is None


async def test_a_server_that_starts_knows_the_newest_of_the_store(api: Served):
    await api.store.write_anomalies([told(anomaly(LAST_S))])
    await load_patiently(api.backend.view, api.store)
    assert api.backend.view.anomalies.newest(anomaly().market, 5) == [anomaly(LAST_S)]


def update(api: Served, offset: int, *found: object, generation: int = 1) -> list[tuple[int, str]]:
    value = codec.encode(told(*found, generation=generation))
    record = LogRecord(topics.ANOMALIES.name, offset, NOW_MS, value)
    return [(one.seq, str(one.key)) for one in api.backend.view.on_record(record)]


async def test_a_channel_begins_with_the_newest_and_conflates_by_id(api: Served):
    first, second = anomaly(LAST_S, anomaly_id="a"), anomaly(LAST_S + 1, anomaly_id="b")
    assert update(api, 9, first, second) == [(10_000, "a"), (10_001, "b")]
    assert update(api, 10, first) == []  # nothing new
    grown = msgspec.structs.replace(first, score=0.99)
    assert update(api, 11, grown) == [(12_000, "a")]
    snapshot = api.backend.view.snapshot(f"anomalies:{MARKET}", 50)
    assert snapshot is not None
    assert snapshot.seq == 12_000
    assert [msgspec.json.decode(one)["score"] for one in snapshot.data] == [0.99, 0.875]


async def test_what_a_replaced_detector_writes_is_ignored(api: Served):
    gone = anomaly(LAST_S, status="withdrawn")
    assert len(update(api, 9, gone, generation=2)) == 1
    assert update(api, 10, anomaly(LAST_S), generation=1) == []
    event = anomaly(LAST_S + 1, event="Deposited", anomaly_id="e")
    assert len(update(api, 11, event, generation=1)) == 1, "events have another owner"
    assert api.backend.view.anomalies.newest(gone.market, 5) == [gone, event]


async def test_of_a_market_the_last_hundred_are_known(api: Served):
    update(api, 9, *[anomaly(n) for n in range(anomalies.KEPT + 5)])
    known = api.backend.view.anomalies.newest(anomaly().market, 1_000)
    assert known == [anomaly(n) for n in range(5, anomalies.KEPT + 5)]


def test_channels_of_anomalies_have_a_market():
    channel = parse_channel(f"anomalies:{MARKET}")
    assert channel is not None
    assert (channel.kind, channel.subject) == ("anomalies", MARKET)
    assert parse_channel("anomalies") is None
