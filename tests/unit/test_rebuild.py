"""A market begins anew when its chain adds a past to it, and its candles go on being numbered."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property.recompute import PlainTrade, recompute
from property.test_candle_laws import Simulation, numbers
from unit.test_partition_chains import MARKET, NOW_MS, final, undo

from chaintide.agents.book import Rules
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.records import Candle, Heartbeat, Late, Market, Rebuild, TradeBatch

MINUTE_US = 60_000_000
BEGIN_US = NOW_MS * 1000
POOL = "T-USDC"


def batch(*minutes: int, block: int | None = None, epoch: int = 1, market: str = MARKET):
    return TradeBatch(
        market=Market(market),
        price_scale=0,
        size_scale=0,
        ids=[minute + 100_000 for minute in minutes],
        times_us=[BEGIN_US + minute * MINUTE_US for minute in minutes],
        prices=[7 + minute % 5 for minute in minutes],
        sizes=[1 + minute % 3 for minute in minutes],
        sides="b" * len(minutes),
        block=block,
        epoch=epoch,
    )


def beat(minute: int, epoch: int = 1) -> Heartbeat:
    return Heartbeat(venue="local", time_us=BEGIN_US + minute * MINUTE_US, epoch=epoch)


def rebuild(contract: str = POOL, epoch: int = 1) -> Rebuild:
    return Rebuild(chain="local", contract=contract, epoch=epoch)


def expected(*minutes: int) -> dict[tuple[str, int], tuple[object, ...]]:
    told = batch(*minutes)
    rows = zip(told.ids, told.times_us, told.prices, told.sizes, strict=True)
    return recompute([PlainTrade(n, t, p, s, "b") for n, t, p, s in rows])


class Life(Simulation):
    """A worker of one partition, told record by record."""

    def __init__(self) -> None:
        super().__init__([], Rules())

    def say(self, *records: object) -> None:
        for record in records:
            value = codec.encode(record)
            place = len(self.inputs)
            self.inputs.append(Input(0, place, NOW_MS + 10**10, b"", value))
            self.step()

    def traded(self) -> dict[tuple[str, int], tuple[object, ...]]:
        self.flush()
        return {place: numbers(c) for place, c in self.store().items() if c.trades}

    def minute(self, minute: int) -> Candle:
        self.flush()
        return self.store()["1m", NOW_MS + minute * 60_000]


def running() -> Life:
    """A market that has traded in minutes 0 to 9; half of that is final."""
    life = Life()
    life.say(*[batch(n, block=n) for n in range(10)], beat(10), final(5, time_ms=NOW_MS + 300_000))
    life.flush()
    return life


def rebuilt(life: Life) -> None:
    life.say(undo(5), rebuild(), batch(*range(-40, 3)), batch(*range(3, 6)))
    life.say(*[batch(n, block=n) for n in range(6, 10)], beat(10))


def test_a_past_before_the_first_trade_becomes_candles():
    life = running()
    rebuilt(life)
    assert life.traded() == expected(*range(-40, 10))
    assert life.late == set()


def test_without_a_rebuild_the_past_is_refused():
    life = running()
    life.say(batch(-40))
    assert life.late


def test_candles_that_were_shown_before_are_corrections_and_others_are_not():
    life = running()
    before = life.minute(3)
    rebuilt(life)
    again, past = life.minute(3), life.minute(-7)
    assert (before.revision, before.status) == (1, "final")
    assert again.revision > before.revision
    assert (again.status, again.reason) == ("corrected", "backfill")
    assert (past.revision, past.status, past.reason) == (1, "closed", None)
    life.say(batch(10, block=10), beat(11))
    assert life.minute(10).revision == 1, "the future has nothing to do with it"


def test_revisions_rise_from_rebuild_to_rebuild():
    life, seen = running(), []
    for _ in range(3):
        seen.append(life.minute(7).revision)
        rebuilt(life)
    seen.append(life.minute(7).revision)
    assert all(one < other for one, other in pairwise(seen))


def test_other_markets_and_other_contracts_go_on():
    life = running()
    life.say(rebuild("T-USD"), rebuild("T"), Rebuild(chain="other", contract=POOL, epoch=1))
    assert life.traded().keys() >= expected(*range(10)).keys()
    life.say(batch(11, block=11), beat(12))
    assert life.traded().keys() >= expected(*range(10), 11).keys()


def test_every_pool_of_a_contract_begins_anew():
    pool = Market("local:0xaa/0x01")
    life = Life()
    life.say(batch(0, block=1, market=pool), beat(3), final(1, time_ms=NOW_MS + 60_000))
    life.say(rebuild("0xaa"), batch(-9, 0, market=pool))
    assert life.traded() == expected(-9, 0)


def test_a_replaced_follower_neither_rebuilds_nor_adds_to_the_past():
    life = running()
    life.say(undo(9, epoch=2), rebuild(epoch=1))
    assert life.traded() == expected(*range(10))
    life.say(undo(5, epoch=2), rebuild(epoch=2), batch(-9, epoch=2), batch(-3, epoch=1))
    life.say(batch(*range(-5, 6), epoch=2))
    assert life.traded() == expected(-9, *range(-5, 6))


def test_blocks_that_only_workers_know_as_final_are_in_a_rebuilt_market():
    life = running()
    life.say(final(7, time_ms=NOW_MS + 420_000), undo(5, epoch=2), rebuild(epoch=2))
    life.say(batch(*range(-40, 6), epoch=2))
    life.say(*[batch(n, block=n, epoch=2) for n in range(6, 10)], beat(10, epoch=2))
    assert life.traded() == expected(*range(-40, 10))
    life.say(undo(5, epoch=3))
    assert life.traded() == expected(*range(-40, 8)), "what was final stays"
    assert life.late == set()


def test_blocks_that_only_workers_know_as_final_are_in_a_new_market():
    pool = Market("local:0xbb/0x01")
    life = Life()
    life.say(undo(-1), final(7, time_ms=NOW_MS + 420_000), undo(5, epoch=2))
    life.say(*[batch(n, block=n, epoch=2, market=pool) for n in range(6, 10)], beat(10, epoch=2))
    assert life.traded() == expected(*range(6, 10))
    assert life.late == set()


def test_a_heartbeat_of_a_replaced_follower_makes_no_past_late():
    life = running()
    life.say(undo(5, epoch=2), rebuild(epoch=2), batch(*range(-4_000, -3_900), epoch=2))
    life.say(beat(10, epoch=1), batch(*range(-3_900, 6), epoch=2))
    life.say(*[batch(n, block=n, epoch=2) for n in range(6, 10)], beat(10, epoch=2))
    assert life.traded() == expected(*range(-4_000, 10))
    assert life.late == set()


@pytest.mark.parametrize("survives", range(0, 140, 3))
def test_a_worker_that_dies_while_it_writes_the_rebuilt_market_leaves_nothing_stale(survives):
    life = running()
    life.say(undo(5), rebuild(), batch(*range(-40, -20)))
    life.tear(survives)
    while life.next < len(life.inputs):
        life.step()
    life.say(batch(*range(-20, 6)), *[batch(n, block=n) for n in range(6, 10)], beat(10))
    assert life.traded() == expected(*range(-40, 10))


@given(
    cuts=st.lists(st.integers(-200, 5), max_size=3).map(sorted),
    deaths=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=5),
)
def test_whenever_a_worker_dies_a_rebuilt_market_is_that_of_all_its_trades(cuts, deaths):
    life = running()
    edges = [-200, *cuts, 6]
    parts = [batch(*range(a, b)) for a, b in pairwise(edges) if a < b]
    told = [undo(5), rebuild(), *parts, *[batch(n, block=n) for n in range(6, 10)], beat(10)]
    dies = dict(deaths)
    for place, record in enumerate(told):
        life.say(record)
        if place in dies:
            life.tear(dies[place])
            while life.next < len(life.inputs):
                refused = life.logic.on_input(life.inputs[life.next])
                assert not any(isinstance(one, Late) for one in refused)
                life.next += 1
    assert life.traded() == expected(*range(-200, 10))
