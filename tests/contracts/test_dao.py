"""DAOs: membership, projects and their money; each event and each refusal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localchain import LocalChain, account, refused, running_chain

FOUNDER, ALICE, BOB, FARM = (account(number) for number in range(1, 5))
PEOPLE = (FOUNDER, ALICE, BOB)
DOLLAR = 10**6
FEE = 25 * DOLLAR
PURSE = 10**6 * DOLLAR
GOAL = 1000 * DOLLAR
NOBODY = "0x" + "00" * 20


class Village:
    def __init__(self, chain: LocalChain) -> None:
        self.chain = chain
        self.usdc = chain.deploy("MockUsdc")
        self.factory = chain.deploy("AgriDAOFactory", self.usdc.address)
        self.dao = self.created("Valley Growers")
        for person in PEOPLE:
            chain.act(person, self.usdc, "mint", person, PURSE)
            chain.act(person, self.usdc, "approve", self.dao.address, PURSE)
        self.act(ALICE, "join")
        chain.remember()

    def created(self, name):
        call = ("createDAO", name, FEE)
        asked = self.factory.transaction(FOUNDER, *call)
        answer = self.chain.anvil.rpc("eth_call", [asked, "latest"])
        dao = self.chain.at("AgriDAO", self.factory.interface.result("createDAO", answer))
        self.said = self.chain.act(FOUNDER, self.factory, *call)
        return dao

    def proposed(self, goal=GOAL, days=1):
        self.chain.rewind()
        self.deadline = self.chain.now_s() + days * 86_400
        self.act(ALICE, "proposeProject", "Irrigation", goal, self.deadline, FARM)
        return self

    def act(self, person, function, *arguments):
        said = self.chain.act(person, self.dao, function, *arguments)
        return {each.name: dict(each.arguments) for each in said}

    def read(self, function, *arguments):
        return self.chain.read(self.dao, function, *arguments)

    def money(self, holder):
        return self.chain.read(self.usdc, "balanceOf", holder)


@pytest.fixture(scope="module")
def live():
    with running_chain() as chain:
        yield Village(chain)


@pytest.fixture
def village(live):
    return live.proposed()


def test_a_dao_is_announced_with_its_address_and_its_first_member(live):
    live.chain.rewind()
    dao = live.created("Hill Orchards")
    joined, created = live.said
    assert (joined.name, joined.arguments) == ("MemberJoined", {"member": FOUNDER, "fee": 0})
    assert (created.name, created.arguments) == (
        "DAOCreated",
        {"dao": dao.address, "founder": FOUNDER, "name": "Hill Orchards", "membershipFee": FEE},
    )
    assert live.chain.read(dao, "name") == "Hill Orchards"
    with refused("EmptyName"):
        live.chain.act(FOUNDER, live.factory, "createDAO", "", FEE)


def test_members_pay_to_join_once_and_may_resign(village):
    assert village.act(BOB, "join")["MemberJoined"] == {"member": BOB, "fee": FEE}
    assert village.read("treasury") == village.money(village.dao.address) == 2 * FEE
    with refused("AlreadyMember", caller=BOB):
        village.act(BOB, "join")
    assert village.act(BOB, "resign") == {"MemberLeft": {"member": BOB}}
    for call in (
        ("resign",),
        ("proposeProject", "Seeds", 1, village.deadline, FARM),
        ("fundProject", 1, 1),
    ):
        with refused("NotMember", caller=BOB):
            village.act(BOB, *call)


def test_a_project_is_proposed_with_a_goal_a_time_and_somebody_to_pay(village):
    said = village.act(ALICE, "proposeProject", "Seeds", GOAL, village.deadline, FARM)
    assert said["ProjectProposed"] == {
        "projectId": 2,
        "proposer": ALICE,
        "beneficiary": FARM,
        "title": "Seeds",
        "goal": GOAL,
        "deadline": village.deadline,
    }
    now_s = village.chain.now_s()
    with refused("ZeroAmount"):
        village.act(ALICE, "proposeProject", "Seeds", 0, village.deadline, FARM)
    with refused("ZeroAddress"):
        village.act(ALICE, "proposeProject", "Seeds", GOAL, village.deadline, NOBODY)
    with refused("DeadlinePassed", deadline=now_s):
        village.act(ALICE, "proposeProject", "Seeds", GOAL, now_s, FARM)


def test_a_project_that_reaches_its_goal_is_paid_out_once(village):
    said = village.act(ALICE, "fundProject", 1, GOAL - 1)["ProjectFunded"]
    assert said == {"projectId": 1, "funder": ALICE, "amount": GOAL - 1, "raised": GOAL - 1}
    with refused("GoalMissed", raised=GOAL - 1, goal=GOAL):
        village.act(BOB, "completeProject", 1)
    with refused("GoalExceeded", remaining=1):
        village.act(FOUNDER, "fundProject", 1, 2)
    village.act(FOUNDER, "fundProject", 1, 1)
    said = village.act(BOB, "completeProject", 1)["ProjectCompleted"]
    assert said == {"projectId": 1, "beneficiary": FARM, "amount": GOAL}
    assert village.money(FARM) == GOAL
    with refused("AlreadyCompleted", projectId=1):
        village.act(BOB, "completeProject", 1)
    village.chain.pass_time(86_400)
    with refused("GoalReached", projectId=1):
        village.act(ALICE, "refund", 1, ALICE)


def test_a_project_that_misses_its_goal_gives_everything_back(village):
    village.act(ALICE, "fundProject", 1, 40 * DOLLAR)
    said = village.act(FOUNDER, "fundFromTreasury", 1, FEE)["ProjectFunded"]
    assert said["funder"] == village.dao.address
    assert village.read("treasury") == 0
    village.chain.pass_until(village.deadline - 1)
    with refused("DeadlineAhead", deadline=village.deadline):
        village.act(ALICE, "refund", 1, ALICE)
    village.chain.pass_until(village.deadline)
    with refused("DeadlinePassed", deadline=village.deadline):
        village.act(ALICE, "fundProject", 1, 1)
    purse = village.money(ALICE)
    said = village.act(BOB, "refund", 1, ALICE)["ContributionRefunded"]
    assert said == {"projectId": 1, "funder": ALICE, "amount": 40 * DOLLAR}
    assert village.money(ALICE) == purse + 40 * DOLLAR
    assert village.read("projects", 1)[4] == FEE
    village.act(BOB, "refund", 1, village.dao.address)
    assert village.read("treasury") == village.money(village.dao.address) == FEE
    with refused("NothingToRefund", projectId=1, funder=ALICE):
        village.act(BOB, "refund", 1, ALICE)


def test_the_treasury_is_spent_by_the_founder_and_only_as_far_as_it_goes(village):
    with refused("NotFounder", caller=ALICE):
        village.act(ALICE, "fundFromTreasury", 1, 1)
    with refused("TreasuryTooSmall", treasury=FEE, amount=FEE + 1):
        village.act(FOUNDER, "fundFromTreasury", 1, FEE + 1)


def test_nothing_happens_to_a_project_that_is_not_there(village):
    for call in (("fundProject", 2, 1), ("completeProject", 2), ("refund", 2, ALICE)):
        with refused("UnknownProject", projectId=2):
            village.act(ALICE, *call)
    with refused("ZeroAmount"):
        village.act(ALICE, "fundProject", 1, 0)


AMOUNTS = st.sampled_from([1, 499, 500, 999, 1000]) | st.integers(1, 1000)


@settings(max_examples=40)
@given(payments=st.lists(st.tuples(st.sampled_from([ALICE, FOUNDER]), AMOUNTS), max_size=8))
def test_whatever_members_give_arrives_or_comes_back(live, payments):
    village = live.proposed(goal=1000)
    given_by = dict.fromkeys([ALICE, FOUNDER], 0)
    purses = {person: village.money(person) for person in given_by}
    for person, amount in payments:
        remaining = 1000 - sum(given_by.values())
        if amount > remaining:
            with refused("GoalExceeded", remaining=remaining):
                village.act(person, "fundProject", 1, amount)
        else:
            village.act(person, "fundProject", 1, amount)
            given_by[person] += amount
    assert village.money(village.dao.address) == FEE + sum(given_by.values())
    if sum(given_by.values()) == 1000:
        village.act(BOB, "completeProject", 1)
        assert village.money(FARM) == 1000
    else:
        village.chain.pass_time(86_400)
        for person, amount in given_by.items():
            if amount:
                village.act(BOB, "refund", 1, person)
        assert {person: village.money(person) for person in given_by} == purses
    assert village.money(village.dao.address) == village.read("treasury") == FEE
