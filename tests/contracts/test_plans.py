"""What people do next follows from what they see; no chain is needed to ask them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintide.contracts.contract import contract_at
from chaintide.contracts.deployment import Deployment, Listing, People
from chaintide.contracts.scene import SOLD, Dao, Lot, Offer, Pool, Project, Proposal, Scene
from chaintide.contracts.trading import Order, Trading
from chaintide.contracts.village import MAX_LOTS, Village

NOW_S = 1_800_000_000
PEOPLE = People(1)
ADDRESS = "0x" + "ab" * 20
SINGLE = ("GovernanceSlashing", "KnowledgeTokens", "ProduceRegistry")
LISTINGS = tuple(
    Listing(kind=kind, symbol=kind, market_id=bytes([n]) * 32, token=ADDRESS, market=ADDRESS)
    for n, kind in enumerate(("credential", "persona"), 1)
)
DEPLOYED = Deployment(
    start_block=0,
    addresses=dict.fromkeys(SINGLE, ADDRESS),
    listings=LISTINGS,
    daos=(ADDRESS,),
)
VILLAGE = Village(PEOPLE, DEPLOYED)
POOL = Pool(10**24, 10**11)
CARRIER, SHOP = PEOPLE.named("carrier"), PEOPLE.named("shop")
SEEDS = st.integers(0, 10**6)


def scene(**facts):
    quiet = {
        "time_s": NOW_S,
        "pools": (POOL, POOL),
        "holdings": {},
        "accusable": (),
        "proposal": None,
        "daos": (),
        "knowledge": (),
        "lots": (),
    }
    return Scene(**quiet | facts)


def actions(seed, **facts):
    return VILLAGE.actions(scene(**facts), np.random.default_rng(seed))


def functions(**facts):
    return {each.function for seed in range(200) for each in actions(seed, **facts)}


def proposal(**facts):
    usual = {
        "number": 4,
        "voting_ends": NOW_S + 1,
        "is_executed": False,
        "is_passing": True,
        "voters": frozenset(),
    }
    return Proposal(**usual | facts)


def test_while_votes_are_taken_who_has_not_voted_may():
    voters = frozenset(PEOPLE.traders[1:])
    done = [
        each
        for seed in range(200)
        for each in actions(seed, proposal=proposal(voters=voters), accusable=(0, 1))
        if each.function in {"castVote", "propose", "execute"}
    ]
    assert {(each.function, each.sender) for each in done} == {("castVote", PEOPLE.traders[0])}
    assert {each.arguments[1] for each in done} == {0, 1, 2}


def test_what_has_passed_is_carried_out_once():
    passed = proposal(voting_ends=NOW_S)
    assert "execute" in {each.function for each in actions(1, proposal=passed)}
    for other in (
        proposal(voting_ends=NOW_S, is_executed=True),
        proposal(voting_ends=NOW_S, is_passing=False),
    ):
        found = functions(proposal=other, accusable=(0,))
        assert "execute" not in found
        assert "propose" in found


def test_only_who_can_be_accused_is():
    assert "propose" not in functions(accusable=())
    accused = {
        each.arguments[0]
        for seed in range(200)
        for each in actions(seed, accusable=(1,))
        if each.function == "propose"
    }
    assert accused == {LISTINGS[1].market_id}


def village_dao(project, members=PEOPLE.growers[:2]):
    return Dao(contract=contract_at("AgriDAO", ADDRESS), members=members, project=project)


def project(**facts):
    usual = {
        "number": 1,
        "deadline": NOW_S + 1,
        "is_completed": False,
        "goal": 1000,
        "raised": 900,
        "contributions": {},
    }
    return Project(**usual | facts)


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (None, "proposeProject"),
        (project(), "fundProject"),
        (project(raised=1000), "completeProject"),
        (project(raised=1000, is_completed=True), "proposeProject"),
        (project(deadline=NOW_S, raised=0), "proposeProject"),
        (project(deadline=NOW_S, contributions={PEOPLE.growers[1]: 900}), "refund"),
    ],
)
def test_a_dao_goes_from_project_to_project(newest, expected):
    found = functions(daos=(village_dao(newest),))
    assert found & {"proposeProject", "fundProject", "completeProject", "refund"} == {expected}


def test_nobody_gives_more_than_a_project_needs_or_before_joining():
    for seed in range(300):
        for each in actions(seed, daos=(village_dao(project()),)):
            if each.function == "fundProject":
                assert each.arguments[1] <= 100
                assert each.sender in PEOPLE.growers[:2]
            if each.function == "join":
                assert each.sender in PEOPLE.growers[2:]


@pytest.mark.parametrize(
    ("holder", "stage", "price", "expected"),
    [
        (PEOPLE.growers[2], 0, 0, {("update", 1)}),
        (PEOPLE.growers[2], 1, 0, {("transfer", CARRIER), ("verifyQuality", None)}),
        (CARRIER, 1, 0, {("update", 2)}),
        (CARRIER, 2, 0, {("transfer", SHOP)}),
        (SHOP, 2, 0, {("update", 3)}),
        (SHOP, 3, 0, {("setPrice", None)}),
        (SHOP, 3, 5, {("update", SOLD)}),
    ],
)
def test_a_lot_goes_from_farm_to_shop(holder, stage, price, expected):
    lot = Lot(b"\x01" * 32, holder, stage, price)
    found = {
        (each.function, each.arguments[1])
        for seed in range(200)
        for each in actions(seed, lots=(lot,))
        if each.arguments[0] == lot.produce_id
        and each.function in {"update", "transfer", "verifyQuality", "setPrice"}
    }
    plain = {(name, what if name in {"update", "transfer"} else None) for name, what in found}
    assert plain == expected


def test_no_more_lots_are_harvested_than_people_can_follow():
    lots = tuple(Lot(bytes([n]) * 32, SHOP, 3, 0) for n in range(MAX_LOTS))
    assert "register" in functions(lots=lots[1:])
    assert "register" not in functions(lots=lots)


def test_nobody_pays_for_copies_that_are_gone():
    offers = (Offer(1, 7, 0), Offer(2, 5, 2))
    bought = {
        each.arguments
        for seed in range(300)
        for each in actions(seed, knowledge=offers)
        if each.function == "buy"
    }
    assert bought == {(2, 1, 5), (2, 2, 10)}


def sides(fair):
    """How many of 400 orders buy when the fair price is so many times the market's."""
    trading = Trading(PEOPLE, DEPLOYED, 1.0, [fair * POOL.price] * 2)
    orders = [Order(PEOPLE.traders[0], 0, 0.0001)] * 400
    held = scene(holdings={(PEOPLE.traders[0], 0): POOL.tokens})
    swaps = trading.swaps(orders, held, np.random.default_rng(1))
    return sum(each.function == "buy" for each in swaps)


def test_traders_lean_towards_the_fair_price():
    assert sides(0.9) < 120
    assert 160 < sides(1.0) < 240
    assert sides(1.1) > 280


@settings(max_examples=50)
@given(seed=SEEDS, held=st.sampled_from([0, 1, 10**18]) | st.integers(0, 10**24))
def test_nobody_sells_more_than_they_have_even_in_one_block(seed, held):
    rng = np.random.default_rng(seed)
    trading = Trading(PEOPLE, DEPLOYED, 30.0)
    orders = trading.orders(rng)
    wanted = {(order.trader, order.listing) for order in orders}
    left = dict.fromkeys(wanted, held)
    for order, swap in zip(orders, trading.swaps(orders, scene(holdings=left), rng), strict=True):
        _market_id, amount, least, deadline = swap.arguments
        assert deadline > NOW_S
        assert swap.sender == order.trader
        if swap.function == "sell":
            left[order.trader, order.listing] -= amount
            assert left[order.trader, order.listing] >= 0
            assert 0 < least < POOL.dollars
        else:
            assert 0 < amount <= POOL.dollars * 0.05
            assert 0 < least < POOL.tokens


@pytest.mark.parametrize("rate", [0.0, 1.0, 20.0])
def test_there_are_about_as_many_orders_as_asked_for(rate):
    trading, rng = Trading(PEOPLE, DEPLOYED, rate), np.random.default_rng(1)
    counts = [len(trading.orders(rng)) for _ in range(1000)]
    assert 0.9 * rate <= sum(counts) / 1000 <= 1.1 * rate
    assert max(counts) >= 2.5 * rate  # some blocks are busy
