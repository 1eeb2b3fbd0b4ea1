"""Anomalies of one market: what is strange is found, with its reason, and little else."""

import random
from copy import deepcopy
from itertools import count, pairwise

import msgspec
import pytest
from anomalies import SECOND_US, Street, feed
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintide.agents.anomalies.alarms import EPISODE_S, GROWTH, Row
from chaintide.agents.anomalies.cells import Cell
from chaintide.agents.anomalies.market import MAX_ADDRESSES, Course, MarketLogic, Tick
from chaintide.agents.anomalies.tails import LEAST, Tail
from chaintide.agents.anomalies.words import often
from chaintide.streams.anomalies import Anomaly
from chaintide.streams.records import Market, TradeBatch
from chaintide.streams.simulator.trades import MARKETS, Tape

BUDGET = 2.0
MARKET = Market("kraken:BTC-USD")
CHAIN_MARKET = Market("5151:0xa1/0x01")
DAY_US = 86_400 * SECOND_US


def new_logic(market: Market = MARKET) -> MarketLogic:
    return MarketLogic(market, None, BUDGET)


def again(logic: MarketLogic) -> MarketLogic:
    """Return what a restart makes of the state that ``logic`` writes down."""
    course = msgspec.json.decode(msgspec.json.encode(logic.state()), type=Course)
    return MarketLogic(*logic.of, BUDGET, course)


@pytest.fixture(scope="module")
def seen() -> tuple[MarketLogic, Street]:
    street, logic = Street(), new_logic()
    feed(logic, street.trades(15_000))
    return logic, street


@pytest.fixture(scope="module")
def seen_on_chain() -> tuple[MarketLogic, Street]:
    street, logic = Street(CHAIN_MARKET), new_logic(CHAIN_MARKET)
    feed(logic, street.trades(12_000, people=200))
    return logic, street


def after(seen: tuple[MarketLogic, Street]) -> tuple[MarketLogic, Street]:
    """Return copies, so that each test has the same past."""
    logic, street = seen
    return again(logic), deepcopy(street)


# ------------------------------------------------------------------- detection


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("size", {"size": 100.0}, "times the usual largest of a second"),
        ("impact", {"jump": 1.05}, "price moved 5.0"),
        ("impact", {"jump": 1 / 1.05}, "price moved 5.0"),
    ],
)
def test_one_strange_trade_is_told_at_once_with_its_reason(seen, kind, changes, words):
    logic, street = after(seen)
    [found] = logic.on_trades(street.one(**changes))
    assert (found.kind, found.status, found.trade_id) == (kind, "raised", street.next_id - 1)
    assert found.time_us == street.time_us
    assert found.score > 0.75
    assert words in found.reasons[0].words
    assert found.reasons[0].feature == kind


def test_a_burst_is_told_while_it_goes_on_and_as_one_anomaly(seen):
    logic, street = after(seen)
    told = [one for _ in range(300) for one in logic.on_trades(street.one(after_us=1_000))]
    rarities = [1 / one.score - 1 for one in told]
    assert all(then <= before / GROWTH * 1.001 for before, then in pairwise(rarities))
    assert len(told) == 12  # of 300: rarities fell by more than ten to the eleventh
    assert rarities[0] / rarities[-1] < GROWTH**12
    assert len({one.anomaly_id for one in told}) == 1
    assert [one.score for one in told] == sorted(one.score for one in told)
    assert told[-1].kind == "pace"
    assert told[-1].score > 0.999
    assert "within ten seconds" in told[-1].reasons[0].words


def test_a_flood_of_new_addresses_is_told(seen_on_chain):
    logic, street = after(seen_on_chain)
    flood = [street.one(trader=f"0xnew{n}", after_us=300_000) for n in range(40)]
    found = list(feed(logic, flood).values())
    assert "newness" in {reason.feature for one in found for reason in one.reasons}
    assert found[0].address is not None


def test_the_same_flood_from_known_addresses_is_not_new(seen_on_chain):
    logic, street = after(seen_on_chain)
    flood = [street.one(trader=f"0x{n % 200:040x}", after_us=300_000) for n in range(40)]
    found = feed(logic, flood).values()
    assert "newness" not in {reason.feature for one in found for reason in one.reasons}


def test_what_is_strange_in_more_than_one_way_has_more_than_one_reason(seen):
    logic, street = after(seen)
    [found] = logic.on_trades(street.one(size=5_000.0, jump=1.2))
    assert {reason.feature for reason in found.reasons} == {"size", "impact"}
    assert found.kind == found.reasons[0].feature


def test_what_comes_after_half_a_minute_is_another_anomaly(seen):
    logic, street = after(seen)
    first = feed(logic, [street.one(size=5_000.0)])
    within = feed(logic, [street.one(size=5_000.0)])
    later = feed(logic, [street.one(size=5_000.0, after_us=EPISODE_S * SECOND_US)])
    assert len(first) == len(later) == 1
    assert within.keys() <= first.keys()
    assert later.keys().isdisjoint(first)


# -------------------------------------------------------------------- calm


def test_a_market_without_anything_strange_keeps_to_the_budget():
    told, days = 0, 0.0
    for seed in range(6):
        street, logic = Street(seed=seed, rate=0.2), new_logic()
        told += len(feed(logic, street.trades(12_500)))
        days += street.time_us / DAY_US
    assert days > 4
    assert told <= BUDGET * days


@pytest.mark.slow
def test_simulated_markets_keep_to_the_budget():
    told, days, rate = 0, 0.0, 0.5
    for seed, market in enumerate(MARKETS):
        tape, logic, hours = Tape(market, seed=seed, start_us=0, rate=rate), new_logic(), 24
        for until_s in range(60, hours * 3_600, 60):
            rows = tape.step(until_s * SECOND_US)
            if rows:
                batch = TradeBatch(
                    market=MARKET,
                    price_scale=market.price_scale,
                    size_scale=market.size_scale,
                    ids=[row.trade_id for row in rows],
                    times_us=[row.time_us for row in rows],
                    prices=[row.price for row in rows],
                    sizes=[row.size for row in rows],
                    sides="".join(row.side for row in rows),
                )
                told += len(logic.on_trades(batch))
        days += hours / 24
    assert told <= BUDGET * days


def test_nothing_is_said_of_a_market_that_is_not_known_yet():
    street, logic = Street(), new_logic()
    assert feed(logic, street.trades(400)) == {}
    assert feed(logic, [street.one(size=1e6, jump=3.0)]) == {}


def test_after_many_alarms_only_what_is_rarer_is_told(seen):
    logic, street = after(seen)
    allowed = [logic.course.alarms.allowed(logic.course.cell.second, BUDGET)]
    for size in (3_000.0, 3_000.0, 3_000.0, 3_000.0):
        assert feed(logic, [street.one(size=size, after_us=60 * SECOND_US)])
        second = logic.course.cell.second + EPISODE_S
        allowed.append(logic.course.alarms.allowed(second, BUDGET))
    assert allowed == sorted(allowed, reverse=True)
    assert allowed[-1] >= BUDGET / 5 * 2.7**-3.1
    calm_again = logic.course.alarms.allowed(logic.course.cell.second + 86_400 * 2, BUDGET)
    assert calm_again == pytest.approx(BUDGET / 5)


# -------------------------------------------------------------- determinism


def test_what_is_told_does_not_depend_on_how_trades_are_put_into_messages(seen):
    base, street = after(seen)
    strange = [street.one(size=900.0, jump=1.03) for _ in range(3)]
    batches = [*street.trades(2_000, per_message=7), *strange, *street.trades(200)]
    rows = [
        msgspec.structs.replace(
            batch,
            ids=batch.ids[n : n + 1],
            times_us=batch.times_us[n : n + 1],
            prices=batch.prices[n : n + 1],
            sizes=batch.sizes[n : n + 1],
            sides="b",
        )
        for batch in batches
        for n in range(len(batch))
    ]
    single = again(base)
    assert feed(base, batches) == feed(single, rows)
    assert base.state() == single.state()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 400), st.integers(0, 2**16))
def test_a_market_that_is_written_down_and_read_goes_on_bit_by_bit(cut, seed):
    street, logic = Street(seed=seed, rate=1.0), new_logic()
    batches = street.trades(3_000)
    batches.insert(500, street.one(size=2_000.0))
    feed(logic, batches[:cut])
    read = again(logic)
    assert feed(read, batches[cut:]) == feed(logic, batches[cut:])
    assert read.state() == logic.state()


def test_late_trades_are_counted_and_change_nothing(seen):
    logic, street = after(seen)
    state = msgspec.json.encode(logic.state())
    old = street.one(size=1e6, after_us=-10 * SECOND_US)
    assert logic.on_trades(old) == []
    assert logic.course.late == 1
    logic.course.late = 0
    assert msgspec.json.encode(logic.state()) == state


# ------------------------------------------------------------------- chains


def test_a_reorg_withdraws_what_was_told_and_forgets_who_came(seen_on_chain):
    logic, street = after(seen_on_chain)
    before = msgspec.json.encode([logic.state().cell, logic.state().addresses])
    [found] = logic.on_trades(street.one(size=500.0, trader="0xnew", block=7))
    assert (found.block, found.address) == (7, "0xnew")
    assert logic.undo(7) == []
    [gone] = logic.undo(6)
    assert gone == msgspec.structs.replace(found, status="withdrawn")
    assert msgspec.json.encode([logic.state().cell, logic.state().addresses]) == before
    assert logic.undo(6) == []


def test_the_trade_that_takes_its_place_is_judged_like_the_first(seen_on_chain):
    logic, street = after(seen_on_chain)
    batch = street.one(size=500.0, trader="0xnew", block=7)
    [first] = logic.on_trades(batch)
    logic.undo(6)
    [second] = logic.on_trades(batch)
    assert (second.anomaly_id, second.kind) == (first.anomaly_id, first.kind)


def test_a_jump_back_after_a_reorg_is_none(seen_on_chain):
    logic, street = after(seen_on_chain)
    was = street.price
    assert logic.on_trades(street.one(jump=2.0, trader="0x0", block=7))
    logic.undo(6)
    street.price = was
    assert feed(logic, [street.one(trader="0x0", block=7, after_us=SECOND_US * 40)]) == {}


def test_what_is_final_is_not_held_any_longer(seen_on_chain):
    logic, street = after(seen_on_chain)
    for block in range(7, 10):
        logic.on_trades(street.one(size=500.0 * block, trader=f"0xn{block}", block=block))
    assert [held.block for held in logic.course.held] == [7, 8, 9]
    logic.settle(8)
    assert [held.block for held in logic.course.held] == [9]
    assert logic.undo(6) == [] or all(one.block == 9 for one in logic.course.pending)


def test_only_so_many_addresses_are_known():
    logic = new_logic(CHAIN_MARKET)
    for n in range(MAX_ADDRESSES + 5):
        row = Row(time_us=n * SECOND_US, log=str(n), block=None, address=f"0x{n}")
        logic.on_event(Tick(row, 1.0, 0.0))
    assert len(logic.state().addresses) == MAX_ADDRESSES


# ------------------------------------------------------------- odd numbers


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**100), st.integers(1, 10**100), st.integers(0, 2**53)),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_trade_comes_its_score_is_between_0_and_1(rows):
    logic, ids = new_logic(), count()
    for size, price, time_us in rows:
        batch = TradeBatch(
            market=MARKET,
            price_scale=8,
            size_scale=8,
            ids=[next(ids)],
            times_us=[time_us],
            prices=[price],
            sizes=[size],
            sides="b",
        )
        for one in logic.on_trades(batch):
            assert 0.0 <= one.score <= 1.0
    again(logic)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.expovariate(1),
        lambda rng: rng.gauss(0, 1),
        lambda rng: rng.paretovariate(1.6) ** 0.2,
        lambda rng: rng.random(),
        lambda _: 1.0,
    ],
)
def test_a_chance_is_seldom_too_small(draw):
    rng, hits, total = random.Random(1), 0, 60_000
    tail = Tail(0.1)
    for _ in range(total):
        value = draw(rng)
        hits += tail.chance(value) <= 1e-3
        tail.learn(value)
    assert hits <= 1.1 * total * 1e-3


def test_chance_and_limit_say_the_same():
    rng, tail = random.Random(1), Tail(0.1)
    for _ in range(LEAST * 4):
        tail.learn(rng.expovariate(1))
    for chance in (0.01, 1e-3, 1e-6):
        assert tail.chance(tail.limit(chance)) == pytest.approx(chance)
    assert tail.limit(0.5) == tail.level


def test_pace_fades_within_ten_seconds():
    cell = Cell(second=0, count=100)
    assert 30 < cell.after(10).pace < 40
    assert cell.after(100).pace < 0.01


def test_how_often_is_said_in_words():
    assert often(3.0) == "3 a day"
    assert often(1.0) == "about once a day"


def test_an_anomaly_has_one_place_whoever_computes_it():
    fields = {"market": MARKET, "event": None, "kind": "size", "score": 0.5, "reasons": []}
    rest = dict.fromkeys(("trade_id", "log", "block", "address"))
    one = Anomaly(anomaly_id="a", time_us=5, status="raised", methodology="", **fields, **rest)
    assert one.place == 5_000 + 907
