"""When the state of a feed is written, and that it never stands in the way of trades."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams import codec
from chaintide.streams.feeds.reporting import FeedReporting, is_news
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import FeedReport, Gap, Market
from chaintide.streams.topics import FEEDS

BTC = Market("kraken:BTC-USD")
MAYBE_MS = st.none() | st.integers(0, 2**53)
COUNTS = st.integers(0, 2**53)
REPORTS = st.builds(
    FeedReport,
    venue=st.text(max_size=8),
    time_ms=COUNTS,
    markets=st.lists(st.just(BTC), max_size=2),
    state=st.sampled_from(["connecting", "live", "backfilling"]),
    breaker=st.sampled_from(["closed", "open", "half-open"]),
    last_message_ms=MAYBE_MS,
    silence_ms=MAYBE_MS,
    lag_ms=MAYBE_MS,
    connects=COUNTS,
    trades=COUNTS,
    duplicates=COUNTS,
    bad_messages=COUNTS,
    refusals=COUNTS,
    gaps=COUNTS,
    last_error=st.text(max_size=20),
)


@given(REPORTS)
def test_a_report_comes_back_as_it_was_written(report: FeedReport):
    assert msgspec.json.decode(codec.encode(report), type=FeedReport) == report


def test_a_status_reports_its_counts_and_how_long_it_has_been_silent():
    status = FeedStatus("kraken", [BTC], last_message_ms=900, trades=7)
    status.on_gap(Gap(market=BTC, from_us=0, to_us=1, reason="down"))
    status.on_gap(Gap(market=BTC, from_us=0, to_us=1, reason="down", filled=True))
    report = status.report(now_ms=1_000)
    assert (report.silence_ms, report.trades, report.gaps, report.breaker) == (100, 7, 1, "closed")


@pytest.mark.parametrize(
    ("change", "is_written"),
    [
        ({"time_ms": 1_999, "trades": 9, "silence_ms": 3, "lag_ms": 4}, False),
        ({"time_ms": 2_000}, True),
        ({"state": "backfilling"}, True),
        ({"breaker": "open"}, True),
        ({"gaps": 1}, True),
        ({"last_error": "frozen"}, True),
    ],
)
def test_a_report_is_written_each_second_and_when_something_changes(
    change: dict[str, Any], is_written: bool
):
    last = FeedStatus("kraken", [BTC], state="live").report(now_ms=1_000)
    assert is_news(None, last)
    assert is_news(last, msgspec.structs.replace(last, **change)) == is_written


class SlowKafka:
    """Takes a report, and says so when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, FeedReport, asyncio.Future[None]]] = []
        self.has_sent = asyncio.Event()

    async def send(self, topic: str, value: bytes, *, key: bytes, partition: int) -> Any:
        assert key == b"kraken"
        future = asyncio.get_running_loop().create_future()
        self.sent.append((topic, partition, msgspec.json.decode(value, type=FeedReport), future))
        self.has_sent.set()
        return future


async def test_one_report_at_a_time_waits_for_kafka(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chaintide.streams.feeds.reporting.LOOK_S", 0)
    kafka, clock, status = SlowKafka(), iter(range(0, 10**9, 1_000)), FeedStatus("kraken", [BTC])
    reporting = FeedReporting(kafka, {"kraken": status}, lambda: next(clock))
    running = asyncio.create_task(reporting.run())
    for errors in range(1, 4):
        await kafka.has_sent.wait()
        kafka.has_sent.clear()
        for turn in range(50):
            status.last_error = f"error {errors} {turn}"
            await asyncio.sleep(0)
        assert len(kafka.sent) == errors
        topic, partition, _, future = kafka.sent[-1]
        assert (topic, partition) == (FEEDS.name, 0)
        if errors == 1:
            future.set_exception(OSError("disk full"))
        else:
            future.set_result(None)
    await kafka.has_sent.wait()
    assert kafka.sent[-1][2].last_error == "error 3 49", "the newest state, not those between"
    running.cancel()
