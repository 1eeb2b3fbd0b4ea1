"""Simulated trades: laws of the tape, and the statistics that make it believable."""

from itertools import pairwise

import numpy as np
import pytest

from chaintide.streams.simulator.trades import MARKETS, SimTrade, Tape

START_US = 1_763_000_000_000_000
HOUR_US = 3_600_000_000


def tape(seed: int = 1, rate: float = 2.0, market: int = 0) -> Tape:
    return Tape(MARKETS[market], seed=seed, start_us=START_US, rate=rate)


@pytest.fixture(scope="module")
def hours() -> list[SimTrade]:
    return tape().step(START_US + 6 * HOUR_US)


def test_the_same_seed_gives_the_same_trades():
    assert tape().step(START_US + HOUR_US) == tape().step(START_US + HOUR_US)


def test_seed_market_and_start_each_change_the_trades():
    assert tape().step(START_US + HOUR_US) != tape(seed=2).step(START_US + HOUR_US)
    sizes = [[t.size for t in tape(market=m).step(START_US + HOUR_US)] for m in (1, 2)]
    assert sizes[0] != sizes[1]
    later = Tape(MARKETS[0], seed=1, start_us=START_US + 1, rate=2.0).step(START_US + HOUR_US)
    assert [t.size for t in later] != [t.size for t in tape().step(START_US + HOUR_US)]


def test_steps_of_any_length_give_the_same_trades():
    steps, whole = tape(), tape().step(START_US + 60_000_000)
    cuts = [START_US, START_US + 1, START_US + 20_000_000, whole[9].time_us, START_US + 60_000_000]
    assert [trade for cut in cuts for trade in steps.step(cut)] == whole


def test_a_step_ends_before_its_time(hours: list[SimTrade]):
    cut = hours[100].time_us
    assert all(trade.time_us < cut for trade in tape().step(cut))


def test_ids_are_consecutive_and_times_never_go_back(hours: list[SimTrade]):
    ids = [trade.trade_id for trade in hours]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    times = [trade.time_us for trade in hours]
    assert times == sorted(times)


def test_a_later_start_never_uses_an_id_again(hours: list[SimTrade]):
    end_us = START_US + 6 * HOUR_US
    later = Tape(MARKETS[0], seed=1, start_us=end_us, rate=2.0).step(end_us + HOUR_US)
    assert later[0].trade_id > hours[-1].trade_id


@pytest.mark.parametrize("market", range(len(MARKETS)))
def test_prices_stay_believable_and_numbers_positive(market: int):
    trades = tape(market=market).step(START_US + 6 * HOUR_US)
    start = MARKETS[market].price
    assert all(0.7 * start < trade.price < 1.4 * start and trade.size > 0 for trade in trades)


def test_the_rate_is_what_was_asked_for():
    for rate in (0.5, 5.0):
        trades = tape(rate=rate).step(START_US + 6 * HOUR_US)
        assert len(trades) / (6 * 3600) == pytest.approx(rate, rel=0.2)


def test_arrivals_are_clustered(hours: list[SimTrade]):
    seconds = [(trade.time_us - START_US) // 1_000_000 for trade in hours]
    counts = np.bincount(seconds, minlength=6 * 3600)
    assert counts.var() / counts.mean() > 2


def test_sweeps_share_a_microsecond_and_never_improve_for_the_taker(hours: list[SimTrade]):
    pairs = [(a, b) for a, b in pairwise(hours) if a.time_us == b.time_us]
    assert len(pairs) > len(hours) / 10
    for a, b in pairs:
        assert a.side == b.side
        assert b.price >= a.price if a.side == "b" else b.price <= a.price


def test_volatility_is_clustered(hours: list[SimTrade]):
    times = np.array([trade.time_us for trade in hours])
    prices = np.array([trade.price for trade in hours])
    minutes = np.searchsorted(times, START_US + np.arange(1, 360) * 60_000_000)
    moves = np.abs(np.diff(np.log(prices[minutes])))
    centred = moves - moves.mean()
    assert (centred[1:] * centred[:-1]).mean() / centred.var() > 0.1


def test_buyers_pay_more_than_sellers_get(hours: list[SimTrade]):
    """The price bounces: a change of side moves it, on average, towards the new taker's cost."""
    bounce = [
        (b.price - a.price) * (1 if b.side == "b" else -1)
        for a, b in pairwise(hours)
        if a.side != b.side
    ]
    assert np.mean(bounce) > 0


def test_sizes_have_a_heavy_tail(hours: list[SimTrade]):
    sizes = np.array([trade.size for trade in hours])
    assert np.quantile(sizes, 0.999) > 30 * np.median(sizes)
