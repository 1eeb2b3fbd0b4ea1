"""Stakes and slashing: each event, each refusal, and any vote counted as in Python."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localchain import LocalChain, account, refused, running_chain

from chaintide.contracts.anvil import RpcError
from chaintide.contracts.contract import deployment

PROPOSER, ALICE, BOB, CAROL, TREASURY = (account(number) for number in range(1, 6))
PEOPLE = (PROPOSER, ALICE, BOB, CAROL)
ACCUSED, OWN = b"\x0a" * 32, b"\x0b" * 32
DOLLAR = 10**6
PERIOD_S = 600
AGAINST, FOR, ABSTAIN = 0, 1, 2


class Court:
    def __init__(self, chain: LocalChain) -> None:
        self.chain = chain
        self.usdc = chain.deploy("MockUsdc")
        self.slashing = chain.deploy("GovernanceSlashing", self.usdc.address, TREASURY, PERIOD_S)
        for person in PEOPLE:
            chain.act(person, self.usdc, "mint", person, 10**6 * DOLLAR)
            chain.act(person, self.usdc, "approve", self.slashing.address, 2**256 - 1)
        chain.remember()

    def staked(self):
        """A fresh court where the proposer and the accused have stakes."""
        self.chain.rewind()
        self.act(PROPOSER, "deposit", OWN, 100 * DOLLAR)
        self.act(ALICE, "deposit", ACCUSED, 300 * DOLLAR)
        self.act(BOB, "deposit", ACCUSED, 100 * DOLLAR)
        return self

    def accused(self, amount=50 * DOLLAR):
        self.staked()
        self.act(PROPOSER, "propose", ACCUSED, amount, OWN)
        return self

    def act(self, person, function, *arguments):
        said = self.chain.act(person, self.slashing, function, *arguments)
        return {each.name: dict(each.arguments) for each in said}

    def read(self, function, *arguments):
        return self.chain.read(self.slashing, function, *arguments)

    def money(self, holder):
        return self.chain.read(self.usdc, "balanceOf", holder)


@pytest.fixture(scope="module")
def live():
    with running_chain() as chain:
        yield Court(chain)


@pytest.fixture
def court(live):
    return live.staked()


def test_a_stake_goes_in_and_out(court):
    said = court.act(CAROL, "deposit", OWN, 7 * DOLLAR)["StakeDeposited"]
    assert said == {"credentialId": OWN, "staker": CAROL, "amount": 7 * DOLLAR}
    assert court.read("stakeOf", OWN, CAROL) == 7 * DOLLAR
    assert court.read("totalStaked") == court.money(court.slashing.address) == 507 * DOLLAR
    said = court.act(CAROL, "withdraw", OWN, 2 * DOLLAR)["StakeWithdrawn"]
    assert said == {"credentialId": OWN, "staker": CAROL, "amount": 2 * DOLLAR}
    assert court.read("stakeOf", OWN, CAROL) == 5 * DOLLAR


def test_nothing_is_no_stake_and_nobody_takes_more_than_their_own(court):
    for call in (("deposit", OWN, 0), ("withdraw", OWN, 0), ("propose", ACCUSED, 0, OWN)):
        with refused("ZeroAmount"):
            court.act(PROPOSER, *call)
    with refused("StakeTooSmall", stake=100 * DOLLAR, needed=100 * DOLLAR + 1):
        court.act(BOB, "withdraw", ACCUSED, 100 * DOLLAR + 1)
    with refused("StakeTooSmall", stake=0, needed=1):
        court.act(BOB, "withdraw", b"\x77" * 32, 1)


def test_an_accusation_is_heard_decided_and_carried_out(court):
    said = court.act(PROPOSER, "propose", ACCUSED, 40 * DOLLAR, OWN)["ProposalCreated"]
    assert said == {
        "proposalId": 1,
        "proposer": PROPOSER,
        "credentialId": ACCUSED,
        "amount": 40 * DOLLAR,
    }
    said = court.act(PROPOSER, "castVote", 1, FOR, OWN)["VoteCast"]
    assert said == {"proposalId": 1, "voter": PROPOSER, "support": FOR, "weight": 100 * DOLLAR}
    court.chain.pass_time(PERIOD_S)
    said = court.act(CAROL, "execute", 1)
    assert said == {
        "ProposalExecuted": {"proposalId": 1, "slashed": 40 * DOLLAR},
        "StakeSlashed": {"credentialId": ACCUSED, "proposalId": 1, "amount": 40 * DOLLAR},
        "Transfer": {"from": court.slashing.address, "to": TREASURY, "value": 40 * DOLLAR},
    }
    assert court.read("stakeOf", ACCUSED, ALICE) == 270 * DOLLAR  # each lost a tenth
    assert court.read("stakeOf", ACCUSED, BOB) == 90 * DOLLAR
    assert court.money(TREASURY) == 40 * DOLLAR
    with refused("AlreadyExecuted", proposalId=1):
        court.act(CAROL, "execute", 1)
    court.act(ALICE, "withdraw", ACCUSED, 270 * DOLLAR)  # and whoever wants may leave now


def test_a_withdrawal_after_a_slash_costs_its_part_of_the_shares_and_no_less(live):
    court = live.accused(40 * DOLLAR)
    court.act(PROPOSER, "castVote", 1, FOR, OWN)
    court.chain.pass_time(PERIOD_S)
    court.act(CAROL, "execute", 1)
    court.act(ALICE, "withdraw", ACCUSED, 1)  # worth 400 / 360 of a share
    amount, shares, *_ = court.read("pots", ACCUSED)
    assert (amount, shares) == (360 * DOLLAR - 1, 400 * DOLLAR - 2)


def test_a_slash_takes_half_at_most(live):
    court = live.accused(10**12 * DOLLAR)
    court.act(PROPOSER, "castVote", 1, FOR, OWN)
    court.chain.pass_time(PERIOD_S)
    assert court.act(BOB, "execute", 1)["ProposalExecuted"]["slashed"] == 200 * DOLLAR


def test_only_who_has_a_stake_accuses_and_only_who_has_one_is_accused(court):
    with refused("StakeTooSmall", stake=0, needed=100 * DOLLAR):
        court.act(CAROL, "propose", ACCUSED, DOLLAR, OWN)
    with refused("StakeTooSmall", stake=0, needed=2):
        court.act(PROPOSER, "propose", b"\x77" * 32, DOLLAR, OWN)


def test_nobody_flees_while_accused_and_all_have_time_to_leave_afterwards(live):
    court = live.accused()
    start = court.chain.now_s()
    frozen, peace = start + 2 * PERIOD_S, start + 4 * PERIOD_S
    with refused("StakeFrozen", credentialId=ACCUSED, until=frozen):
        court.act(ALICE, "withdraw", ACCUSED, 1)
    court.chain.pass_time(2 * PERIOD_S)
    court.act(ALICE, "withdraw", ACCUSED, 300 * DOLLAR)
    with refused("AccusedBefore", credentialId=ACCUSED, until=peace):
        court.act(PROPOSER, "propose", ACCUSED, DOLLAR, OWN)
    court.chain.pass_time(2 * PERIOD_S)
    court.act(PROPOSER, "propose", ACCUSED, DOLLAR, OWN)


def test_a_vote_stays_until_voting_ends(live):
    court = live.staked()
    court.act(CAROL, "deposit", OWN, 5 * DOLLAR)
    court.act(PROPOSER, "propose", ACCUSED, DOLLAR, OWN)
    ends = court.chain.now_s() + PERIOD_S
    court.act(CAROL, "withdraw", OWN, DOLLAR)
    court.act(CAROL, "castVote", 1, AGAINST, OWN)
    for person in (CAROL, PROPOSER):
        with refused("StakeLocked", staker=person, until=ends):
            court.act(person, "withdraw", OWN, DOLLAR)
    court.chain.pass_time(PERIOD_S)
    court.act(CAROL, "withdraw", OWN, 4 * DOLLAR)


def test_votes_are_counted_once_in_time_and_from_stakes_that_were_there(live):
    court = live.accused()
    proposed = court.chain.now_s()
    with refused("UnknownProposal", proposalId=2):
        court.act(ALICE, "castVote", 2, FOR, ACCUSED)
    with refused("InvalidSupport", support=3):
        court.act(ALICE, "castVote", 1, 3, ACCUSED)
    with refused("StakeTooSmall", stake=0, needed=1):
        court.act(CAROL, "castVote", 1, FOR, OWN)
    court.act(CAROL, "deposit", OWN, 10**6)
    with refused("StakeTooYoung", depositedAt=court.chain.now_s(), proposedAt=proposed):
        court.act(CAROL, "castVote", 1, FOR, OWN)
    court.act(ALICE, "castVote", 1, ABSTAIN, ACCUSED)
    with refused("AlreadyVoted", proposalId=1, voter=ALICE):
        court.act(ALICE, "castVote", 1, FOR, ACCUSED)
    court.chain.pass_until(proposed + PERIOD_S)
    with refused("VotingClosed", proposalId=1, since=proposed + PERIOD_S):
        court.act(BOB, "castVote", 1, FOR, ACCUSED)


def test_a_stake_of_the_very_second_of_a_proposal_has_no_vote(court):
    court.act(CAROL, "deposit", OWN, DOLLAR)
    together_s = court.chain.now_s()
    court.chain.next_block_at(together_s)
    court.act(PROPOSER, "propose", ACCUSED, DOLLAR, OWN)
    with refused("StakeTooYoung", depositedAt=together_s, proposedAt=together_s):
        court.act(CAROL, "castVote", 1, FOR, OWN)


def test_a_decision_is_carried_out_in_its_time_only(live):
    court = live.accused()
    ends = court.chain.now_s() + PERIOD_S
    with refused("UnknownProposal", proposalId=9):
        court.act(ALICE, "execute", 9)
    court.act(ALICE, "castVote", 1, FOR, ACCUSED)
    court.chain.pass_until(ends - 1)
    with refused("VotingOpen", proposalId=1, until=ends):
        court.act(ALICE, "execute", 1)
    court.chain.pass_until(ends + PERIOD_S)
    with refused("ProposalLapsed", proposalId=1, since=ends + PERIOD_S):
        court.act(ALICE, "execute", 1)


def test_without_a_treasury_there_is_no_court(live):
    nobody = "0x" + "00" * 20
    made = deployment("GovernanceSlashing", ALICE, live.usdc.address, nobody, PERIOD_S)
    with pytest.raises(RpcError) as caught:
        live.chain.anvil.rpc("eth_call", [made, "latest"])
    assert live.slashing.interface.error(caught.value.data).name == "ZeroAddress"


BALLOTS = st.lists(st.sampled_from([AGAINST, FOR, ABSTAIN, None]), min_size=4, max_size=4)
STAKES = st.sampled_from([1, 100 * DOLLAR, 1000 * DOLLAR]) | st.integers(1, 10**4 * DOLLAR)


@settings(max_examples=40)
@given(stakes=st.lists(STAKES, min_size=4, max_size=4), ballots=BALLOTS, asked=STAKES)
def test_any_vote_is_counted_as_in_python(live, stakes, ballots, asked):
    court = live
    court.chain.rewind()
    weights = [
        stake + 100 * DOLLAR * (person == PROPOSER)
        for person, stake in zip(PEOPLE, stakes, strict=True)
    ]
    for person, weight in zip(PEOPLE, weights, strict=True):
        court.act(person, "deposit", OWN, weight)
    court.act(ALICE, "deposit", ACCUSED, 500 * DOLLAR)
    total = sum(weights) + 500 * DOLLAR
    court.act(PROPOSER, "propose", ACCUSED, asked, OWN)
    for person, ballot in zip(PEOPLE, ballots, strict=True):
        if ballot is not None:
            court.act(person, "castVote", 1, ballot, OWN)
    court.chain.pass_time(PERIOD_S)
    counts = [
        sum(weight for weight, ballot in zip(weights, ballots, strict=True) if ballot == each)
        for each in (AGAINST, FOR, ABSTAIN)
    ]
    quorum = -(-total * 1000 // 10_000)
    if counts[FOR] <= counts[AGAINST] or sum(counts) < quorum:
        with refused(
            "NotPassed", votesFor=counts[FOR], votesAgainst=counts[AGAINST], quorum=quorum
        ):
            court.act(BOB, "execute", 1)
        return
    slashed = min(asked, 250 * DOLLAR)
    assert court.act(BOB, "execute", 1)["ProposalExecuted"]["slashed"] == slashed
    assert court.money(TREASURY) == slashed
    assert court.read("totalStaked") == court.money(court.slashing.address) == total - slashed
