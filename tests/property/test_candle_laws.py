"""Laws of the candles: any order, any batching, any crash, the same bits."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from property.recompute import PlainTrade, recompute

from chaintide.agents import bars
from chaintide.agents.book import LEVELS, Book, Rules
from chaintide.agents.candles import CandleLogic
from chaintide.agents.changelog import Entry, Recovery
from chaintide.agents.partition import Input, PartitionLogic
from chaintide.agents.shelf import Shelf
from chaintide.streams import codec, decimals
from chaintide.streams.intervals import INTERVALS, WIDTH_MS
from chaintide.streams.records import (
    Candle,
    CandleBatch,
    Gap,
    Heartbeat,
    Late,
    Market,
    TradeBatch,
)

BTC = Market("kraken:BTC-USDT")
MINUTE = 60_000_000
MONDAY = 1_700_438_400_000_000  # 2023-11-20 00:00:00 UTC, in µs
# Edges on purpose: minute, quarter, hour, day and week begin or end at 0.
EDGES = st.sampled_from([-86_400, -14_400, -3_600, -900, -300, -60, 0, 60, 300, 900, 3_600])
TIMES = st.builds(
    lambda edge, off: MONDAY + edge * 1_000_000 + off,
    EDGES,
    st.sampled_from([-1, 0, 1, 500_000, 59_999_999]) | st.integers(-90_000_000, 90_000_000),
)
DECIMALS = st.decimals(min_value=Decimal("1e-10"), max_value=10**7, allow_nan=False, places=10)
PLAIN = st.builds(
    PlainTrade,
    id=st.integers(0, 60),
    time_us=TIMES,
    price=DECIMALS | st.sampled_from([Decimal("0.1"), Decimal("105433.6"), Decimal(3)]),
    size=DECIMALS,
    side=st.sampled_from("bs?"),
    trader=st.sampled_from(["0xa", "0xb", "0xc", "0xd", "0xe"]) | st.just(""),
)
NEVER_FINAL = Rules(grace_us=2_000_000, horizon_us=10 * 86_400_000_000)


@pytest.fixture(scope="module", autouse=True)
def few_traders():
    """Let candles have more traders than are counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bars, "MAX_TRADERS", 3)
        yield


def one_time_per_id(trades: list[PlainTrade]) -> list[PlainTrade]:
    """Return the trades with what venues promise: an id always means the same trade."""
    first: dict[int, PlainTrade] = {}
    return [first.setdefault(trade.id, trade) for trade in trades]


TRADES = st.lists(PLAIN, min_size=1, max_size=40).map(one_time_per_id)


def batch_of(trades: Iterable[PlainTrade]) -> TradeBatch:
    trades = list(trades)
    prices, price_scale = decimals.align([decimals.parse(f"{t.price:f}") for t in trades])
    sizes, size_scale = decimals.align([decimals.parse(f"{t.size:f}") for t in trades])
    return TradeBatch(
        market=BTC,
        price_scale=price_scale,
        size_scale=size_scale,
        ids=[t.id for t in trades],
        times_us=[t.time_us for t in trades],
        prices=prices,
        sizes=sizes,
        sides="".join(t.side for t in trades),
        traders=[t.trader for t in trades] if any(t.trader for t in trades) else None,
    )


def batches(trades: list[PlainTrade], cuts: list[int]) -> list[TradeBatch]:
    """Cut the trades into batches at ``cuts``."""
    places = [*sorted({0, *(cut % len(trades) for cut in cuts)}), len(trades)]
    return [batch_of(trades[a:b]) for a, b in itertools.pairwise(places) if trades[a:b]]


def numbers(candle: Candle) -> tuple[object, ...]:
    return (
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.taker_buy_volume,
        candle.trades,
        candle.first_trade_id,
        candle.last_trade_id,
        candle.unique_traders,
        candle.has_more_traders,
    )


def traded(store: dict[tuple[str, int], Candle]) -> dict[tuple[str, int], tuple[object, ...]]:
    return {key: numbers(candle) for key, candle in store.items() if candle.trades}


def keep(store: dict[tuple[str, int], Candle], candles: Iterable[Candle]) -> None:
    store.update({(c.interval, c.open_time_ms): c for c in candles})


def new_logic(rules: Rules = NEVER_FINAL) -> CandleLogic:
    return CandleLogic(BTC, rules, Book(), Shelf())


@given(TRADES, st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=300)
def test_all_seven_intervals_equal_a_plain_recompute(trades: list[PlainTrade], cuts: list[int]):
    logic, store = new_logic(), {}
    for batch in batches(trades, cuts):
        assert logic.on_trades(batch) == []
        keep(store, logic.drain()[0])
    assert traded(store) == recompute(trades)


@given(TRADES, st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=6))
def test_order_and_batching_do_not_change_what_candles_say(trades, random, cuts):
    def contents(order: list[PlainTrade], cuts: list[int]):
        logic, store = new_logic(), {}
        for batch in batches(order, cuts):
            logic.on_trades(batch)
        logic.on_heartbeat(MONDAY + 7_200_000_000)
        keep(store, logic.drain()[0])
        return {k: (numbers(c), c.fill, c.complete, c.status == "open") for k, c in store.items()}

    shuffled = random.sample(trades, len(trades))
    assert contents(trades, []) == contents(shuffled, cuts)


@given(TRADES)
def test_every_window_between_first_trade_and_watermark_is_closed(trades: list[PlainTrade]):
    logic, store = new_logic(), {}
    logic.on_trades(batch_of(trades))
    end_us = MONDAY + 2 * 3_600_000_000
    logic.on_heartbeat(end_us)
    keep(store, logic.drain()[0])
    for interval in INTERVALS:
        opens = sorted(o for i, o in store if i == interval)
        width = WIDTH_MS[interval]
        assert opens == list(range(opens[0], opens[-1] + 1, width))
        assert opens[-1] + 2 * width > end_us // 1000
        before = None
        for open_ms in opens:
            candle = store[interval, open_ms]
            assert (candle.status == "open") == (candle.close_time_ms > end_us // 1000)
            if candle.trades == 0:
                assert before is not None
                assert candle.fill == "carry"
                assert {candle.open, candle.high, candle.low, candle.close} == {before.close}
            before = candle


@given(TRADES, st.lists(st.integers(0, 40), max_size=8))
def test_the_same_revision_says_the_same_after_it_closed(trades, cuts):
    logic, seen = new_logic(), {}
    for batch in batches(trades, cuts):
        logic.on_trades(batch)
        for candle in logic.drain()[0]:
            if candle.revision:
                key = (candle.interval, candle.open_time_ms, candle.revision, candle.status)
                assert seen.setdefault(key, candle) == candle


@given(TRADES, st.integers(0, 4_000))
def test_final_candles_never_change_and_refused_trades_are_returned(trades, horizon_s):
    logic = new_logic(Rules(grace_us=0, horizon_us=horizon_s * 1_000_000))
    final: dict[tuple[str, int], Candle] = {}
    newest: dict[tuple[str, int], Candle] = {}
    refused, unique = [], list({t.id: t for t in trades}.values())
    for trade in unique:
        refused += logic.on_trades(batch_of([trade]))
        for candle in logic.drain()[0]:
            key = (candle.interval, candle.open_time_ms)
            assert key not in final
            newest[key] = candle
            if candle.status == "final":
                final[key] = candle
    for interval in INTERVALS:
        counted = sum(c.trades for (i, _), c in newest.items() if i == interval)
        assert counted + sum(map(len, refused)) == len(unique)


@given(
    TRADES,
    TRADES,
    st.lists(st.tuples(st.sampled_from(["undo", "settle"]), st.integers(-1, 6)), max_size=6),
    st.data(),
)
def test_undone_trades_leave_no_trace_and_settled_ones_stay(settled, pending, steps, data):
    pending = [replace(t, id=t.id + 100) for t in pending]
    logic, store = new_logic(), {}
    logic.on_trades(batch_of(settled))
    alive, floor = [], -1
    for step, position in [*steps, ("settle", -1)]:
        for trade in data.draw(st.lists(st.sampled_from(pending), max_size=4, unique=True)):
            at = data.draw(st.integers(floor + 1, floor + 4))
            if all(known.id != trade.id for _, known in alive):
                alive.append((at, trade))
            logic.on_trades(batch_of([trade]), position=at)
        if step == "undo":
            to = max(position, floor)
            logic.undo(to)
            alive = [(p, t) for p, t in alive if p <= to]
        else:
            floor = max(floor, position)
            logic.settle(floor, 0)
        keep(store, logic.drain()[0])
        assert traded(store) == recompute(settled + [trade for _, trade in alive])
    assert all(c.open == c.close for c in store.values() if not c.trades)


def test_a_gap_marks_candles_incomplete_until_it_is_filled():
    logic, store = new_logic(), {}
    first = PlainTrade(1, MONDAY, Decimal(5), Decimal(1), "b")
    logic.on_trades(batch_of([first]))
    gap = Gap(market=BTC, from_us=MONDAY + MINUTE, to_us=MONDAY + 3 * MINUTE, reason="down")
    logic.on_gap(gap)
    logic.on_heartbeat(MONDAY + 5 * MINUTE)
    candles, gaps = logic.drain()
    keep(store, candles)
    assert gaps == [gap]
    minutes = [store["1m", (MONDAY + k * MINUTE) // 1000].complete for k in range(5)]
    assert minutes == [True, False, False, True, True]
    assert not store["1w", MONDAY // 1000].complete
    filled = Gap(market=BTC, from_us=gap.from_us, to_us=gap.to_us, reason="", filled=True)
    logic.on_gap(filled)
    candles, gaps = logic.drain()
    keep(store, candles)
    assert all(candle.complete for candle in store.values())
    assert [(g.from_us, g.filled) for g in gaps] == [(gap.from_us, True)]


@given(TRADES, st.lists(st.integers(0, 40), max_size=8))
def test_a_reason_is_given_from_the_first_correction_on(trades, cuts):
    logic = new_logic()
    for batch in batches(trades, cuts):
        logic.on_trades(batch)
        for candle in logic.drain()[0]:
            assert candle.reason == ("late" if candle.revision > 1 else None)


def test_a_correction_says_why_it_was_made():
    logic, store = new_logic(), {}

    def reasons() -> tuple[str | None, ...]:
        keep(store, logic.drain()[0])
        return tuple(store["1m", (MONDAY + k * MINUTE) // 1000].reason for k in (0, 1, 2))

    gap = Gap(market=BTC, from_us=MONDAY + MINUTE, to_us=MONDAY + 2 * MINUTE, reason="down")
    logic.on_trades(batch_of([PlainTrade(1, MONDAY, Decimal(5), Decimal(1), "b")]))
    logic.on_gap(gap)
    logic.on_heartbeat(MONDAY + 5 * MINUTE)
    assert reasons() == (None, None, None)
    logic.on_trades(batch_of([PlainTrade(2, gap.from_us, Decimal(6), Decimal(1), "b")]))
    assert reasons() == (None, "backfill", "backfill"), "the quiet minute follows its close"
    logic.on_trades(batch_of([PlainTrade(3, gap.to_us, Decimal(7), Decimal(1), "b")]))
    assert reasons() == (None, "backfill", "late")
    logic.on_gap(Gap(market=BTC, from_us=MONDAY, to_us=gap.to_us, reason="", filled=True))
    assert reasons() == ("backfill", "backfill", "late")
    logic.on_trades(batch_of([PlainTrade(4, MONDAY, Decimal(7), Decimal(1), "b")]), position=1)
    assert reasons() == ("reorg", "backfill", "late"), "blocks come in order, but for a reorg"
    logic.on_trades(batch_of([PlainTrade(5, MONDAY, Decimal(7), Decimal(1), "b")]))
    assert reasons() == ("late", "backfill", "late")
    logic.undo(0)
    assert reasons() == ("reorg", "backfill", "late")


def test_a_late_trade_corrects_the_quiet_candles_after_it():
    logic, store = new_logic(), {}
    logic.on_trades(batch_of([PlainTrade(1, MONDAY, Decimal(5), Decimal(1), "b")]))
    logic.on_heartbeat(MONDAY + 4 * MINUTE)
    logic.on_trades(batch_of([PlainTrade(2, MONDAY + 9, Decimal(6), Decimal(1), "b")]))
    keep(store, logic.drain()[0])
    quiet = [store["1m", (MONDAY + k * MINUTE) // 1000] for k in (1, 2, 3)]
    assert [(c.close, c.revision, c.status, c.fill) for c in quiet] == [
        ("6", 2, "corrected", "carry")
    ] * 3


# ---------------------------------------------------------------------- crashes


class Simulation:
    """A partition whose worker may die at any write and start again from what was durable.

    Results that were sent but not awaited may be lost with it, the newest first.
    """

    def __init__(self, inputs: list[Input], rules: Rules) -> None:
        self.inputs = inputs
        self.rules = rules
        self.changelog: list[Entry] = []
        self.published: list[CandleBatch] = []
        self.in_flight: list[CandleBatch] = []
        self.late: set[tuple[int, int]] = set()
        self.committed = 0
        self._start()

    def _start(self) -> None:
        recovery = Recovery()
        for key, value in self.changelog:
            recovery.on_entry(key, value)
        self.logic = PartitionLogic(self.rules, recovery)
        self.next = self.committed

    def step(self) -> None:
        if self.next < len(self.inputs):
            for refused in self.logic.on_input(self.inputs[self.next]):
                assert isinstance(refused, Late)
                self.late |= {(refused.offset, n) for n in refused.trades.ids}
            self.next += 1

    def emit(self, levels: range = LEVELS[:1]) -> None:
        self.in_flight += self.logic.drain(levels)

    def flush(self) -> None:
        self.emit(LEVELS)
        self._deliver(len(self.in_flight))
        self.changelog += self.logic.checkpoint()
        self.committed = self.next

    def tear(self, survives: int) -> None:
        """Begin a flush and die after ``survives`` records: results first, then the changelog."""
        self.emit(LEVELS)
        records = len(self.in_flight)
        entries = list(self.logic.checkpoint())
        self._deliver(survives)
        self.changelog += entries[: max(0, survives - records)]
        self.crash(0)

    def crash(self, survives: int) -> None:
        self._deliver(survives)
        self.in_flight = []
        self._start()

    def _deliver(self, records: int) -> None:
        self.published += self.in_flight[:records]
        self.in_flight = self.in_flight[records:]

    def store(self) -> dict[tuple[str, int], Candle]:
        store: dict[tuple[str, int], Candle] = {}
        for batch in self.published:
            keep(store, batch.candles)
        return store


def inputs_of(trades: list[PlainTrade], cuts: list[int], beats: list[int]) -> list[Input]:
    values: list[bytes] = []
    for place, batch in enumerate(batches(trades, cuts)):
        values.append(codec.encode(batch))
        if place < len(beats):
            beat = Heartbeat(venue="kraken", time_us=MONDAY + beats[place] * 30_000_000)
            values.append(codec.encode(beat))
    values.append(codec.encode(Heartbeat(venue="kraken", time_us=MONDAY + 3_600_000_000)))
    return [Input(0, offset, 2**42, b"", value) for offset, value in enumerate(values)]


ENDS = st.just("flush") | st.builds(
    "{} {}".format, st.sampled_from(["tear", "crash"]), st.integers(0, 4)
)
LIVES = st.builds(
    lambda work, end: [*work, end],
    st.lists(st.sampled_from(["step", "step", "emit"]), min_size=1, max_size=6),
    ENDS,
)
FAULTS = st.lists(LIVES, max_size=6).map(lambda lives: [fault for life in lives for fault in life])
HORIZONS = st.sampled_from([0, 60, 600, 7_200, 864_000]).map(
    lambda seconds: Rules(grace_us=2_000_000, horizon_us=seconds * 1_000_000)
)
BEATS = st.lists(st.integers(-200, 119), max_size=6)


@given(TRADES, st.lists(st.integers(0, 40), min_size=4, max_size=12), BEATS, FAULTS, HORIZONS)
@settings(max_examples=400)
def test_a_worker_that_crashes_at_any_write_leaves_what_a_clean_run_leaves(
    trades, cuts, beats, faults, rules
):
    inputs = inputs_of(trades, cuts, beats)
    clean, faulty = Simulation(inputs, rules), Simulation(inputs, rules)
    for _ in inputs:
        clean.step()
    clean.flush()
    for fault in faults:
        name, *count = fault.split()
        getattr(faulty, name)(*map(int, count))
    for _ in inputs:
        faulty.step()
    faulty.flush()
    assert faulty.store() == clean.store()
    assert faulty.late >= clean.late
