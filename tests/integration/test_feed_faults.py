"""The feed of Kraken, unchanged, on a real socket against an exchange that fails in every way.

The clock runs faster than the wall's, for the feed and for the exchange alike. While the machine
stands still, so does the clock: what a test measures is how the feed does, not the machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import pytest

from chaintide.streams import decimals
from chaintide.streams.feeds.adapter import VenueTrade
from chaintide.streams.feeds.budget import Budget
from chaintide.streams.feeds.kraken import Kraken
from chaintide.streams.feeds.outbox import MemoryOutbox
from chaintide.streams.feeds.rest import HttpRest
from chaintide.streams.feeds.sequence import SequenceLogic
from chaintide.streams.feeds.shell import Feed
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import DeadLetter, Gap, Heartbeat, Market
from chaintide.streams.simulator.exchange import Settings
from chaintide.streams.simulator.server import Simulator
from chaintide.streams.simulator.trades import MARKETS

SPEED = 10
MOST_S = 0.05  # between two looks at the clock; exchange and feed look more than twice as often
BTC = Market("kraken:BTC-USD")
T = TypeVar("T")
Row = tuple[int, int, str, str, str]


def fast_clock(speed: int, read_s: Callable[[], float] = time.monotonic) -> Callable[[], int]:
    """Return a clock in microseconds that starts now and runs so many times too fast.

    Of a pause in which nobody looked at it, only the beginning counts.
    """
    passed_us, looked_s = time.time_ns() // 1000, read_s()

    def now_us() -> int:
        nonlocal passed_us, looked_s
        before_s, looked_s = looked_s, read_s()
        passed_us += round(min(looked_s - before_s, MOST_S) * speed * 1e6)
        return passed_us

    return now_us


@dataclass(slots=True)
class Rig:
    """A running exchange, a running feed, and what the feed has published."""

    port: int
    now_us: Callable[[], int]
    http: aiohttp.ClientSession
    status: FeedStatus
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)

    def feed(self) -> Feed:
        def now_ms() -> int:
            return self.now_us() // 1000

        adapter = Kraken()
        budget = Budget(per_minute=6_000)
        rest_url = f"http://127.0.0.1:{self.port}"
        return Feed(
            adapter=adapter,
            ws_url=f"ws://127.0.0.1:{self.port}/v2",
            sequences={adapter.symbol(m): SequenceLogic(m) for m in self.status.markets},
            outbox=self.outbox,
            rest=HttpRest(self.http, rest_url, budget, self.status.breaker, now_ms),
            now_ms=now_ms,
            random=lambda: 0.0,
            status=self.status,
        )

    async def fault(self, name: str, **parameters: object) -> None:
        url = f"http://127.0.0.1:{self.port}/control/faults/{name}"
        async with self.http.post(url, json=parameters) as answer:
            assert answer.status == 200, await answer.text()

    async def truth(self, market: Market = BTC) -> list[Row]:
        """Return what the exchange itself says has traded, from the feed's first trade on."""
        pair = market.partition(":")[2].replace("-", "/")
        url = f"http://127.0.0.1:{self.port}/control/trades"
        async with self.http.get(url, params={"pair": pair}) as answer:
            lines = (await answer.text()).splitlines()[1:]
        rows = [line.split(",") for line in lines]
        first_id = min(trade.id for trade in self.outbox.trades[market])
        return [
            (int(trade_id), int(time_us), price, size, side[0])
            for _, trade_id, time_us, price, size, side in rows
            if int(trade_id) >= first_id
        ]

    def published(self, market: Market = BTC) -> dict[int, Row]:
        return {trade.id: row(trade) for trade in self.outbox.trades.get(market, [])}

    def notices(self, kind: type[T]) -> list[T]:
        return [notice for notice in self.outbox.notices if isinstance(notice, kind)]

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for ``condition``, at most so many seconds of the wall's clock."""
        async with asyncio.timeout(seconds):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.02)

    async def trade_on(self, trades: int = 200) -> None:
        """Wait until so many more trades have been published."""
        target = len(self.published()) + trades
        await self.until(lambda: len(self.published()) >= target)

    async def settled(self, market: Market = BTC) -> list[Row]:
        """Return the truth up to now, once the newest part of it has been published."""
        truth = await self.truth(market)
        await self.until(lambda: truth[-1][0] in self.published(market))
        await self.until(lambda: truth[-1][1] < self.promised_us())
        return truth

    def promised_us(self) -> int:
        return max((beat.time_us for beat in self.notices(Heartbeat)), default=0)


def row(trade: VenueTrade) -> Row:
    price, size = decimals.text(*trade.price), decimals.text(*trade.size)
    return trade.id, trade.time_us, price, size, trade.side


def up_to(rows: dict[int, Row], last: Row) -> list[Row]:
    return sorted(value for value in rows.values() if value[0] <= last[0])


@asynccontextmanager
async def running(settings: Settings, speed: int = SPEED) -> AsyncIterator[Rig]:
    """Run exchange and feed until the end of the block."""
    now_us = fast_clock(speed)
    simulator = Simulator(settings, now_us=now_us)
    markets = [Market(f"kraken:{market.symbol}") for market in settings.markets]
    async with aiohttp.ClientSession() as http:
        rig = Rig(await simulator.start(), now_us, http, FeedStatus("kraken", markets))
        task = asyncio.create_task(rig.feed().run())
        try:
            await rig.until(lambda: rig.status.state == "live" or task.done())
            yield rig
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await simulator.stop()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running(Settings(markets=MARKETS[:1], rate=10)) as rig:
        await rig.trade_on(100)
        yield rig


async def assert_nothing_lost(rig: Rig, market: Market = BTC) -> None:
    truth = await rig.settled(market)
    assert up_to(rig.published(market), truth[-1]) == truth
    assert len(rig.outbox.trades[market]) == len(rig.published(market)), "published twice"
    assert not rig.notices(Gap)


def test_the_clock_stands_still_while_the_machine_does():
    wall = iter([0.0, 0.01, 0.04, 10.04, 10.05])
    clock = fast_clock(SPEED, lambda: next(wall))
    times = [clock() for _ in range(4)]
    assert [time_us - times[0] for time_us in times] == [0, 300_000, 800_000, 900_000]


async def test_without_faults_nothing_is_lost_repeated_or_reported(rig: Rig):
    await rig.trade_on()
    await assert_nothing_lost(rig)
    assert rig.status.connects == 1
    assert not rig.notices(DeadLetter)


@pytest.mark.parametrize("count", [1, 7, 300])
async def test_skipped_trades_come_through_rest(rig: Rig, count: int):
    await rig.fault("skip", count=count)
    await rig.trade_on(2 * count)
    await assert_nothing_lost(rig)
    assert rig.status.connects == 1


async def test_a_dropped_connection_loses_nothing(rig: Rig):
    await rig.fault("drop")
    await rig.until(lambda: rig.status.connects == 2)
    await rig.trade_on()
    await assert_nothing_lost(rig)


async def test_a_frozen_connection_is_replaced_within_ten_seconds_and_loses_nothing():
    """At a third of the usual speed, so that the wall's delays weigh less in the ten seconds."""
    async with running(Settings(markets=MARKETS[:1], rate=10), speed=3) as rig:
        await rig.fault("freeze", seconds=600)
        frozen_us = rig.now_us()
        await rig.until(lambda: rig.status.state == "connecting")
        assert rig.now_us() - frozen_us <= 10_000_000
        await rig.until(lambda: rig.status.connects == 2)
        await rig.trade_on(50)
        await assert_nothing_lost(rig)


async def test_a_short_freeze_loses_nothing_on_the_same_connection(rig: Rig):
    await rig.fault("freeze", seconds=4)
    await rig.trade_on()
    await assert_nothing_lost(rig)
    assert rig.status.connects == 1


@pytest.mark.parametrize("name", ["replay", "duplicate"])
async def test_repeats_are_no_news(rig: Rig, name: str):
    before = rig.status.duplicates
    await rig.fault(name, count=50)
    await rig.trade_on()
    await assert_nothing_lost(rig)
    await rig.until(lambda: rig.status.duplicates - before >= 50)


async def test_reordered_trades_are_put_in_order(rig: Rig):
    await rig.fault("reorder", count=40)
    await rig.trade_on()
    await assert_nothing_lost(rig)
    ids = [trade.id for trade in rig.outbox.trades[BTC]]
    assert ids == sorted(ids)


async def test_malformed_frames_are_buried_and_their_trades_fetched(rig: Rig):
    await rig.fault("malformed", count=7)
    await rig.until(lambda: len(rig.notices(DeadLetter)) == 7)
    await rig.trade_on()
    await assert_nothing_lost(rig)
    assert rig.status.connects == 1


async def test_a_rate_limited_backfill_comes_later(rig: Rig):
    await rig.fault("rate_limit", seconds=10)
    await rig.fault("skip", count=7)
    await rig.trade_on()
    await assert_nothing_lost(rig)


async def test_a_backfill_that_takes_long_is_a_gap_until_it_comes(rig: Rig):
    """After 30 s the waiting trades go on behind a gap, which is filled once REST answers."""
    await rig.fault("rate_limit", seconds=60)
    await rig.fault("skip", count=7)
    await rig.until(lambda: bool(rig.notices(Gap)))
    await rig.until(lambda: any(gap.filled for gap in rig.notices(Gap)))
    open_gap, filled = rig.notices(Gap)
    assert (open_gap.filled, filled.filled) == (False, True)
    assert (open_gap.from_us, open_gap.to_us) == (filled.from_us, filled.to_us)
    truth = await rig.settled()
    assert up_to(rig.published(), truth[-1]) == truth


async def test_what_the_venue_has_lost_is_a_gap_and_nothing_else_is(rig: Rig):
    await rig.fault("skip_refused", count=7)
    await rig.trade_on()
    truth = await rig.settled()
    published = up_to(rig.published(), truth[-1])
    lost = sorted(set(truth) - set(published))
    assert len(lost) == 7
    assert sorted([*published, *lost]) == truth
    [gap] = rig.notices(Gap)
    assert not gap.filled
    before = max(time_us for trade_id, time_us, *_ in published if trade_id < lost[0][0])
    after = min(time_us for trade_id, time_us, *_ in published if trade_id > lost[-1][0])
    assert (gap.from_us, gap.to_us) == (before, max(after, before + 1))


async def test_several_faults_at_once_lose_nothing(rig: Rig):
    for name in ("skip", "reorder", "duplicate", "malformed", "replay", "drop"):
        await rig.fault(name, count=9)
    await rig.fault("rate_limit", seconds=5)
    await rig.until(lambda: rig.status.connects == 2)
    await rig.trade_on()
    await assert_nothing_lost(rig)


async def test_a_quiet_market_raises_no_alarm():
    async with running(Settings(markets=MARKETS[:1], rate=0.02)) as rig:
        start_us = rig.now_us()
        await rig.until(lambda: rig.now_us() - start_us > 40_000_000)
        assert rig.status.connects == 1
        assert rig.status.last_error == ""
        assert not rig.notices(Gap)
        assert rig.now_us() - rig.promised_us() < 6_000_000


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_minute_of_random_faults_on_three_markets_loses_nothing(seed: int):
    settings = Settings(seed=seed, markets=MARKETS[:3], rate=5, faults_every_s=6)
    async with running(settings) as rig:
        start_us = rig.now_us()
        await rig.until(lambda: rig.now_us() - start_us > 60_000_000)
        for market in rig.status.markets:
            truth = await rig.settled(market)
            assert up_to(rig.published(market), truth[-1]) == truth
            assert len(rig.outbox.trades[market]) == len(rig.published(market))
