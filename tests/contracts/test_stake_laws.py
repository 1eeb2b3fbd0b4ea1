"""Laws of stakes over any course of deposits, withdrawals and slashes."""

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from localchain import LocalChain, account, perhaps_refused, running_chain

PEOPLE = tuple(account(number) for number in range(1, 4))
JUDGE, TREASURY = account(4), account(5)
BENCH = b"\x0c" * 32
POTS = (b"\x0a" * 32, b"\x0b" * 32)
PURSE = 10**12
BAIL = 10**10
PERIOD_S = 60
WHO, WHERE = st.sampled_from(PEOPLE), st.sampled_from(POTS)
AMOUNTS = st.sampled_from([1, 2, 3]) | st.integers(1, 100) | st.integers(1, 10**9)


class StakeMachine(RuleBasedStateMachine):
    """Nobody's money grows, a slash hits all alike, and every dollar is somewhere."""

    def __init__(self, chain: LocalChain, usdc, slashing) -> None:
        super().__init__()
        self.chain, self.usdc, self.slashing = chain, usdc, slashing

    @initialize()
    def begin(self):
        self.chain.rewind()

    @rule(who=WHO, where=WHERE, amount=AMOUNTS)
    def deposit(self, who, where, amount):
        before, pot = self.stakes(where), self.pot(where)
        self.chain.act(who, self.slashing, "deposit", where, amount)
        after = self.stakes(where)
        assert is_worth_as_much(pot, self.pot(where))
        for person in PEOPLE:
            assert after[person] >= before[person]
        assert after[who] <= before[who] + amount

    @rule(who=WHO, where=WHERE, amount=AMOUNTS)
    def withdraw(self, who, where, amount):
        before, purse, pot = self.stakes(where), self.money(who), self.pot(where)
        with perhaps_refused("StakeTooSmall", "StakeFrozen"):
            self.chain.act(who, self.slashing, "withdraw", where, amount)
            assert self.money(who) == purse + amount
        after = self.stakes(where)
        assert is_worth_as_much(pot, self.pot(where))
        for person in PEOPLE:
            assert person == who or after[person] >= before[person]

    @rule(who=WHO, where=WHERE)
    def withdraw_all(self, who, where):
        if stake := self.stakes(where)[who]:
            self.chain.act(who, self.slashing, "withdraw", where, stake)
            assert self.stakes(where)[who] <= 1  # what rounding has left

    @rule(where=WHERE, amount=AMOUNTS)
    def slash(self, where, amount):
        before = self.stakes(where)
        with perhaps_refused("StakeTooSmall"):
            call = (JUDGE, self.slashing, "propose", where, amount, BENCH)
            number = self.named(self.chain.act(*call), "ProposalCreated")["proposalId"]
            self.chain.act(JUDGE, self.slashing, "castVote", number, 1, BENCH)
            self.chain.pass_time(PERIOD_S)
            done = self.named(
                self.chain.act(JUDGE, self.slashing, "execute", number), "StakeSlashed"
            )
            self.chain.pass_time(4 * PERIOD_S)
            after = self.stakes(where)
            held = self.chain.read(self.slashing, "pots", where)[0]
            assert done["amount"] == min(amount, (held + done["amount"]) // 2)
            kept = Fraction(held, held + done["amount"])
            for person in PEOPLE:
                assert before[person] * kept - 1 <= after[person] <= (before[person] + 1) * kept

    @invariant()
    def every_dollar_is_somewhere(self):
        held = [self.chain.read(self.slashing, "pots", pot)[0] for pot in (*POTS, BENCH)]
        total = self.chain.read(self.slashing, "totalStaked")
        assert sum(held) == total == self.money(self.slashing.address)
        everybody = (*PEOPLE, JUDGE, TREASURY, self.slashing.address)
        assert sum(map(self.money, everybody)) == PURSE * len(PEOPLE) + BAIL

    @invariant()
    def stakes_are_backed_and_no_pot_is_empty_but_owned(self):
        for pot in POTS:
            amount, shares = self.pot(pot)
            stakes = self.stakes(pot)
            assert sum(stakes.values()) <= amount <= shares
            assert (amount == 0) == (shares == 0)

    def pot(self, where):
        amount, shares, *_ = self.chain.read(self.slashing, "pots", where)
        return amount, shares

    def stakes(self, pot):
        return {who: self.chain.read(self.slashing, "stakeOf", pot, who) for who in PEOPLE}

    def money(self, who):
        return self.chain.read(self.usdc, "balanceOf", who)

    def named(self, said, name):
        [found] = [each for each in said if each.name == name]
        return found


def is_worth_as_much(before, after):
    """Whether no share has lost anything, not even a fraction of a unit."""
    return after[1] == 0 or after[0] * before[1] >= before[0] * after[1]


def test_no_course_of_events_breaks_the_ledger_of_stakes():
    with running_chain() as chain:
        usdc = chain.deploy("MockUsdc")
        slashing = chain.deploy("GovernanceSlashing", usdc.address, TREASURY, PERIOD_S)
        for person, amount in [*((person, PURSE) for person in PEOPLE), (JUDGE, BAIL)]:
            chain.act(person, usdc, "mint", person, amount)
            chain.act(person, usdc, "approve", slashing.address, amount)
        chain.act(JUDGE, slashing, "deposit", BENCH, BAIL)
        chain.remember()
        run_state_machine_as_test(
            lambda: StakeMachine(chain, usdc, slashing),
            settings=settings(max_examples=10, stateful_step_count=20, deadline=None),
        )
