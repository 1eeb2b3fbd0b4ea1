"""Laws of the learner: grouping, restarts and the future change nothing; nothing is lost."""

import numpy as np
import pytest
from closed_bars import HOUR_MS, START_MS, as_bars, bars, joined, new_learner, paths, said
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintide.agents.learning import state
from chaintide.agents.learning.bars import Bars
from chaintide.agents.learning.learner import Learner, Tick
from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.state import Recovery, Stamp, all_arrays

QUICK = Rules(
    drift_least=5, drift_window=16, drift_every=2, drift_threshold=1.0, drift_delta=0.9, doubt=0.01
)
STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([1, 1, 1, 1, 2, 3, 7, 40]), st.integers(-9, 9)),
    min_size=1,
    max_size=60,
)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def walk(steps: list[tuple[int, int, int]]) -> Bars:
    """Return candles of four markets, each in order, with gaps and unchanged prices."""
    hours, prices = [0] * 4, [100.0] * 4
    found = []
    for row, jump, move in steps:
        hours[row] += jump
        prices[row] *= 1.0 + move / 500.0
        found.append((hours[row], row, prices[row]))
    return bars(*map(list, zip(*found, strict=True)))


def parts(candles: Bars, cuts: list[int]) -> list[Bars]:
    found, start, turn = [], 0, 0
    while start < len(candles):
        size = cuts[turn % len(cuts)]
        found.append(candles.at(slice(start, start + size)))
        start, turn = start + size, turn + 1
    return found


def feed(learner: Learner, candles: list[Bars]) -> list[Tick]:
    return [tick for part in candles for tick in learner.on_closed(part)]


def bits(learner: Learner) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in all_arrays(learner).items()}


@given(STEPS, CUTS)
@settings(max_examples=60)
def test_how_candles_are_grouped_does_not_change_a_bit(steps, cuts):
    candles = walk(steps)
    one, other = new_learner(4, rules=QUICK), new_learner(4, rules=QUICK)
    assert said(feed(one, [candles])) == said(feed(other, parts(candles, cuts)))
    assert bits(one) == bits(other)


def test_hundreds_of_markets_in_any_grouping_give_the_same_bits():
    candles = as_bars(paths(40, 131))
    one, other = new_learner(131), new_learner(131)
    assert said(feed(one, [candles])) == said(feed(other, parts(candles, [1, 17, 64, 250, 3])))
    assert bits(one) == bits(other)


def test_candles_that_come_in_any_order_are_told_row_by_row_beside_their_predictions():
    candles, learner = as_bars(paths(60, 40)), new_learner(40)
    rng = np.random.default_rng(2)
    for hour in range(60):
        for part in np.split(hour * 40 + rng.permutation(40), [hour % 40]):
            came = candles.at(part)
            for tick in learner.on_closed(came):
                assert tick.bars.rows.tolist() == tick.issued.rows.tolist() == sorted(came.rows)
                assert (np.log(tick.bars.price) == tick.issued.log_price).all()
                prices = dict(zip(came.rows.tolist(), came.price.tolist(), strict=True))
                assert tick.bars.price.tolist() == [prices[row] for row in sorted(prices)]


def test_markets_that_become_known_later_do_not_depend_on_grouping():
    prices = paths(30, 5)
    candles = joined([as_bars(prices[:, : 1 + hour // 6])
                      .at(slice(hour * (1 + hour // 6), (hour + 1) * (1 + hour // 6)))
                      for hour in range(30)])  # fmt: skip
    whole, single = Learner("1h", (1,)), Learner("1h", (1,))
    whole.rows([f"test:M{row}" for row in range(5)])
    first = feed(whole, [candles])
    second = []
    for place in range(len(candles)):
        single.row(f"test:M{int(candles.rows[place])}")
        second += single.on_closed(candles.at(slice(place, place + 1)))
    assert said(first) == said(second)


def test_own_features_are_the_same_alone_and_beside_others():
    prices = paths(120, 37)
    together, alone = new_learner(37), new_learner(1)
    for hour in range(120):
        bars_ = as_bars(prices).at(slice(hour * 37, (hour + 1) * 37))
        beside = together.features.on_closed(bars_, slice(0, 37)).features
        own = bars_.at(slice(11, 12))
        own = bars([hour], [0], own.price.tolist())
        # Volume differs by row in the made-up candles: take the very same one.
        own = Bars(**{n: getattr(bars_.at(slice(11, 12)), n) for n in Bars.__dataclass_fields__
                      if n != "rows"}, rows=np.array([0]))  # fmt: skip
        single = alone.features.on_closed(own, slice(0, 1)).features
        assert single[0, :-1].tobytes() == beside[11, :-1].tobytes()


def three_and_one(hours: int, seed: int) -> tuple[list[Bars], list[Bars]]:
    """Return the candles of three markets and of a fourth, hour by hour."""
    candles = as_bars(paths(hours, 4, seed))
    of_others = [candles.at(slice(hour * 4, hour * 4 + 3)) for hour in range(hours)]
    of_late = [candles.at(slice(hour * 4 + 3, hour * 4 + 4)) for hour in range(hours)]
    return of_others, of_late


@given(st.integers(1, 15), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_market_that_comes_late_knows_of_others_what_it_would_have_known_in_time(lag, seed):
    hours = 40
    of_others, of_late = three_and_one(hours, seed)
    late, row = new_learner(4).features, np.array([3])
    for hour, others in enumerate(of_others):
        late.on_closed(others, np.arange(3))
        if hour < lag:
            continue
        cut = hour - lag
        features = late.on_closed(of_late[cut], row).features
        if cut % 6 == 5:
            in_time = new_learner(4).features
            for earlier in of_others[: cut + 1]:
                in_time.on_closed(earlier, np.arange(3))
            for own in of_late[: cut + 1]:
                expected = in_time.on_closed(own, row).features
            assert features.tobytes() == expected.tobytes()
            assert features[0, -1] != 0.0


@given(st.integers(1, 15), st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_what_is_said_of_a_late_market_does_not_change_if_others_end_with_its_candle(lag, seed):
    hours = 48
    of_others, of_late = three_and_one(hours, seed)

    def run(until: int) -> tuple[Learner, list[tuple[object, ...]]]:
        learner, ticks = new_learner(4, rules=QUICK), []
        for hour in range(hours):
            if hour <= until:
                learner.on_closed(of_others[hour])
            if hour >= lag:
                ticks += learner.on_closed(of_late[hour - lag])
        return learner, said(ticks)

    learner, whole = run(hours)
    first = whole[0][0]
    for cut in (lag, (hours - lag) // 2, hours - lag - 1):
        _, alone = run(cut)
        assert [one for one in alone if one[0] - first <= cut] == whole[: 2 * (cut + 1)]
    for logic in learner.horizons.values():  # or else there was nothing to tell
        assert logic.pooled.versions.weights[-1].any()


def test_a_market_that_is_too_late_is_told_nothing_of_shared_weights():
    learner = new_learner(3, (1,), QUICK)
    candles = as_bars(paths(80, 3))
    for hour in range(80):
        learner.on_closed(candles.at(slice(hour * 3, hour * 3 + 2)))
    pooled = learner.horizons[1].pooled
    newest = pooled.versions.candles[-1]
    shifts = pooled.shifts(np.ones((4, 15)), newest - np.array([0, 30, 31, 79]))
    assert (shifts != 0.0).tolist() == [True, True, False, False]


def test_a_market_that_comes_late_tells_others_nothing_and_one_that_is_too_late_is_told_nothing():
    candles = as_bars(paths(80, 3))
    alone, beside = new_learner(3).features, new_learner(3).features
    for hour in range(80):
        two = candles.at(slice(hour * 3, hour * 3 + 2))
        expected = alone.on_closed(two, np.arange(2)).features
        assert beside.on_closed(two, np.arange(2)).features.tobytes() == expected.tobytes()
        if hour >= 32:
            before = (hour - 32) * 3 + 2
            seen = beside.on_closed(candles.at(slice(before, before + 1)), np.array([2]))
            assert seen.features[0, -1] == 0.0


@given(STEPS, st.lists(st.tuples(st.integers(0, 60), st.integers(-9, 9)), max_size=6), st.data())
@settings(max_examples=80)
def test_every_prediction_is_resolved_pending_or_void(steps, corrections, data):
    candles = walk(steps)
    learner = new_learner(4, rules=QUICK)
    fixes = dict(corrections)
    for place in range(len(candles)):
        one = candles.at(slice(place, place + 1))
        learner.on_closed(one)
        if place in fixes:
            old = candles.at(slice(max(0, place - 2), place + 1))
            learner.on_corrected(Bars(**{n: getattr(old, n) if n != "price"
                                         else old.price * (1.0 + fixes[place] / 300.0)
                                         for n in Bars.__dataclass_fields__}))  # fmt: skip
        if data.draw(st.integers(0, 9)) == 0:
            ahead = data.draw(st.integers(0, 30))
            learner.on_watermark(one.rows, int(one.open_time_ms[0]) + ahead * HOUR_MS)
        for horizon, counts in learner.counts().items():
            assert counts.issued == counts.resolved + counts.pending + counts.void
            scores = learner.horizons[horizon].scores
            assert scores.labels(slice(0, 4)).sum() == counts.resolved
            assert (scores.table.floats["counts"] % 2**26).sum() == counts.resolved


@given(STEPS, st.integers(0, 59), st.integers(0, 59))
@settings(max_examples=40)
def test_what_comes_later_does_not_change_what_was_said(steps, now, seed):
    now = min(now, len(steps) - 1)
    candles = walk(steps)
    rng = np.random.default_rng(seed)
    other = candles.at(slice(now + 1, None))
    other = Bars(**{n: getattr(other, n) if n not in {"price", "volume"}
                    else getattr(other, n) * np.exp(rng.normal(0, 0.3, len(other)))
                    for n in Bars.__dataclass_fields__})  # fmt: skip
    until = candles.at(slice(0, now + 1))
    nothing, changed = new_learner(4, rules=QUICK), new_learner(4, rules=QUICK)
    alone = nothing.on_closed(until)
    with_future = changed.on_closed(joined([until, other]))
    assert said(alone) == [one for one in said(with_future) if one in set(said(alone))]
    assert set(said(alone)) <= set(said(with_future))
    full = new_learner(4, rules=QUICK)
    assert set(said(alone)) <= set(said(full.on_closed(candles)))


WILD = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 3), *[WILD] * 5), max_size=40))
@settings(max_examples=150)
def test_whatever_comes_in_what_goes_out_is_finite(rows):
    learner = new_learner(3, rules=QUICK)
    hour = 0
    for row, jump, price, high, low, volume, bought in rows:
        hour += jump
        one = Bars(
            rows=np.array([row]),
            open_time_ms=np.array([START_MS + hour * HOUR_MS]),
            price=np.array([price]),
            high=np.array([high]),
            low=np.array([low]),
            volume=np.array([volume]),
            bought=np.array([bought]),
            quiet=np.array([False]),
            mid=np.array([False]),
        )
        for tick in [*learner.on_open(one), *learner.on_closed(one)]:
            check(tick)
        learner.on_corrected(one)
    for name, array in all_arrays(learner).items():
        assert np.isfinite(array).all() or name.endswith("drift.least"), name


def check(tick: Tick) -> None:
    one = tick.issued
    down = 1.0 - one.p_up - one.p_flat
    for column in (one.p_up, one.p_flat, down):
        assert ((column >= 0) & (column <= 1)).all()
    assert ((one.confidence >= 0) & (one.confidence <= 1)).all()
    assert np.isfinite(one.evidence).all()
    assert np.isfinite(one.quantiles).all()
    assert (np.diff(one.quantiles, axis=1) >= 0).all()


# ---------------------------------------------------------------- open candles


def opinionated(markets: int) -> Learner:
    """Return a learner of labels that come too late to count, with weights that say something."""
    learner, rng = new_learner(markets, (48,)), np.random.default_rng(1)
    champion = learner.horizons[48].champion
    for cells in (champion.own.table.floats["weights"], champion.mixture.table.floats["weights"]):
        cells[:] = rng.dirichlet(np.ones(cells.shape[-1]), cells.shape[1:-1])
    return learner


@given(st.integers(1, 40), st.lists(st.integers(0, 20), min_size=3, max_size=3), st.integers(0, 99))
@settings(max_examples=40)
def test_candles_that_may_still_change_are_stepped_over_as_if_they_had_closed(hours, lags, seed):
    candles = as_bars(paths(hours + 1, 4, seed))  # the fourth market is never behind
    until = [max(0, hours - lag) for lag in [*lags, 0]]
    hour = (candles.open_time_ms - START_MS) // HOUR_MS
    is_final = hour < np.array(until)[candles.rows]
    some, every = opinionated(4), opinionated(4)
    some.on_closed(candles.at(is_final))
    every.on_closed(candles.at(hour < hours))
    before = bits(some)
    [found] = some.on_open(candles.at(~is_final))
    [expected] = every.on_open(candles.at(hour == hours))
    assert found.issued.rows.tolist() == expected.issued.rows.tolist() == [0, 1, 2, 3]
    assert found.issued.candles.tolist() == expected.issued.candles.tolist()
    assert found.issued.log_price.tobytes() == expected.issued.log_price.tobytes()
    assert found.issued.quantiles.tobytes() == expected.issued.quantiles.tobytes()
    assert found.issued.p_up[:3].tolist() != [0.5, 0.5, 0.5]
    if until == [hours] * 4:
        assert found.issued.p_up.tobytes() == expected.issued.p_up.tobytes()
    assert found.issued.p_up == pytest.approx(expected.issued.p_up, abs=5e-2)  # the pool knows less
    assert bits(some) == before


def test_a_lone_market_that_is_behind_says_the_very_same_of_its_open_candle():
    candles = as_bars(paths(40, 1))
    for lag in range(1, 20):
        some, every = opinionated(1), opinionated(1)
        some.on_closed(candles.at(slice(0, 39 - lag)))
        every.on_closed(candles.at(slice(0, 39)))
        expected = said(every.on_open(candles.at(slice(39, 40))))
        assert said(some.on_open(candles.at(slice(39 - lag, 40)))) == expected
        assert said(some.on_open(candles.at(slice(39, 40)))) == []  # those between are missing
        assert said(every.on_open(candles.at(slice(39 - lag, 40)))) == expected  # they are old


# ----------------------------------------------------------------------- state


@given(STEPS, st.integers(0, 60), CUTS)
@settings(max_examples=40)
def test_a_learner_that_is_written_down_and_read_goes_on_bit_by_bit(steps, stop, cuts):
    candles = walk(steps)
    before, after = candles.at(slice(0, stop)), candles.at(slice(stop, None))
    clean = new_learner(4, rules=QUICK)
    clean.on_closed(before)
    recovery = Recovery()
    for key, value in state.entries(clean, Stamp(number=7, applied={"3": 41}, watermark_ms=5)):
        assert len(value) <= state.MAX_CHUNK_BYTES
        recovery.on_entry(key, value)
    restored = Learner("1h", (1, 3), QUICK)
    assert recovery.learner(restored) == Stamp(number=7, applied={"3": 41}, watermark_ms=5)
    assert bits(restored) == bits(clean)
    newest = walk([*steps, (0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1)]).at(slice(-4, None))
    assert said(restored.on_open(newest)) == said(clean.on_open(newest))
    assert said(feed(restored, parts(after, cuts))) == said(feed(clean, parts(after, [60])))
    assert bits(restored) == bits(clean)


class Lives:
    """A worker that is killed again and again, its changelog, and all it ever published."""

    def __init__(self, candles: Bars) -> None:
        self.candles = candles
        self.log: dict[bytes, bytes] = {}
        self.published: dict[tuple[object, ...], tuple[object, ...]] = {}
        self.number = 0

    def recover(self) -> tuple[Learner, int]:
        """Return a learner and the place of the first candle that it has not seen."""
        learner, recovery = new_learner(4, rules=QUICK), Recovery()
        for key, value in self.log.items():
            recovery.on_entry(key, value)
        stamp = recovery.learner(learner)
        if stamp is None:
            return learner, 0
        self.number = max(self.number, stamp.number)
        return learner, stamp.applied["0"] + 1

    def live(self, every: int, death: int, records: int) -> Learner:
        """Work until ``death``, of whose snapshot only so many ``records`` are written."""
        learner, start = self.recover()
        for place in range(start, max(start, death)):
            for one in said(learner.on_closed(self.candles.at(slice(place, place + 1)))):
                assert self.published.setdefault(one[:3], one) == one
            if place % every == 0 or place == death - 1:
                self.number += 1
                written = state.entries(learner, Stamp(number=self.number, applied={"0": place}))
                self.log |= dict(written if place < death - 1 else written[:records])
        return learner


@given(STEPS, st.integers(1, 9), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
@settings(max_examples=60)
def test_a_kill_at_any_point_changes_no_prediction(steps, every, deaths):
    candles = walk(steps)
    clean = new_learner(4, rules=QUICK)
    expected = said(clean.on_closed(candles))
    lives = Lives(candles)
    for death, records in deaths[:6]:
        lives.live(every, min(death, len(candles)), records)
    last = lives.live(every, len(candles), 0)
    assert sorted(lives.published.values()) == expected
    assert last.counts() == clean.counts()
    assert bits(last) == bits(clean)
