"""Laws of a market over any course of events."""

import pytest
from exchange import (
    DOLLARS,
    MARKET_ID,
    MAX_AMOUNT,
    OWNER,
    PEOPLE,
    SUPPLY,
    TOKENS,
    Exchange,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from localchain import FOREVER, perhaps_refused, running_chain

WHO = st.sampled_from(PEOPLE)
PARTS = st.sampled_from([0.000_001, 1.0]) | st.floats(0.000_001, 1.0)
NOBODY = "0x" + "00" * 20


class MarketMachine(RuleBasedStateMachine):
    """Three people trade, add, remove and give presents; nobody gains without a trade."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange
        self.presents = (0, 0)

    @initialize(
        tokens=st.sampled_from([1001, 10**6, TOKENS]) | st.integers(1001, TOKENS),
        dollars=st.sampled_from([1001, 10**6, DOLLARS]) | st.integers(1001, DOLLARS),
    )
    def open(self, tokens, dollars):
        self.exchange.open(tokens, dollars)

    @rule(who=WHO, part=PARTS, side=st.sampled_from(["buy", "sell"]))
    def swap(self, who, part, side):
        tokens, dollars = self.exchange.reserves()
        amount = max(1, int((dollars if side == "buy" else tokens) * part))
        self.attempt(who, side, amount, 0, FOREVER)
        after = self.exchange.reserves()
        assert after[0] * after[1] >= tokens * dollars

    @rule(who=WHO, part=PARTS)
    def add(self, who, part):
        tokens, dollars = self.exchange.reserves()
        worth = self.worth_of_a_share()
        offer = (max(1, int(tokens * part)), max(1, int(dollars * part)))
        self.attempt(who, "addLiquidity", *offer, 0, FOREVER)
        assert self.is_at_least(worth)

    @rule(who=WHO, part=PARTS)
    def remove(self, who, part):
        worth = self.worth_of_a_share()
        shares = min(int(self.exchange.shares_of(who) * part), self.exchange.shares_of(who))
        self.attempt(who, "removeLiquidity", shares, 0, 0, FOREVER)
        assert self.is_at_least(worth)

    @rule(who=WHO, amount=st.integers(1, 10**9))
    def give(self, who, amount):
        before = self.exchange.reserves()
        market = self.exchange.market.address
        for each in (self.exchange.token, self.exchange.usdc):
            self.exchange.chain.act(who, each, "transfer", market, amount)
        self.presents = (self.presents[0] + amount, self.presents[1] + amount)
        assert self.exchange.reserves() == before

    @invariant()
    def the_market_holds_its_reserves_and_the_presents(self):
        held = self.exchange.balances(self.exchange.market.address)
        reserves = self.exchange.reserves()
        assert held == (reserves[0] + self.presents[0], reserves[1] + self.presents[1])

    @invariant()
    def no_value_is_created(self):
        holders = (*PEOPLE, self.exchange.market.address)
        tokens, dollars = zip(*map(self.exchange.balances, holders), strict=True)
        assert sum(tokens) == SUPPLY
        assert sum(dollars) == len(PEOPLE) * MAX_AMOUNT

    @invariant()
    def every_share_has_an_owner_and_is_backed(self):
        shares = self.exchange.shares()
        assert sum(map(self.exchange.shares_of, (*PEOPLE, NOBODY))) == shares
        tokens, dollars = self.exchange.reserves()
        assert shares**2 <= tokens * dollars

    def attempt(self, who, *call):
        before = self.exchange.reserves()
        done = False
        with perhaps_refused("NothingOut", "ERC20InsufficientBalance"):
            self.exchange.act(who, *call)
            done = True
        assert done or self.exchange.reserves() == before

    def worth_of_a_share(self):
        return (*self.exchange.reserves(), self.exchange.shares())

    def is_at_least(self, worth):
        tokens, dollars, shares = self.worth_of_a_share()
        return tokens * worth[2] >= worth[0] * shares and dollars * worth[2] >= worth[1] * shares


@pytest.mark.parametrize("kind", ["Credential", "Persona"])
def test_no_course_of_events_breaks_a_market(kind):
    with running_chain() as chain:
        exchange = Exchange.on(chain, kind)
        run_state_machine_as_test(
            lambda: MarketMachine(exchange),
            settings=settings(max_examples=12, stateful_step_count=20, deadline=None),
        )


def test_the_pool_of_one_token_is_no_business_of_another():
    with running_chain() as chain:
        exchange = Exchange.on(chain, "Credential")
        exchange.open()
        other = b"\x09" * 32
        create = (OWNER, exchange.factory, "createToken", other, "Other", "OTH", SUPPLY)
        answer = chain.anvil.rpc(
            "eth_call", [exchange.factory.transaction(OWNER, *create[2:]), "latest"]
        )
        token = chain.at("MarketToken", exchange.factory.interface.result("createToken", answer))
        chain.act(*create)
        chain.act(OWNER, token, "approve", exchange.market.address, SUPPLY)
        chain.act(OWNER, exchange.market, "createPool", other, TOKENS, DOLLARS)
        chain.act(OWNER, exchange.market, "buy", other, DOLLARS, 0, FOREVER)
        assert exchange.reserves() == (TOKENS, DOLLARS)
        assert chain.read(exchange.market, "pools", MARKET_ID)[0] != token.address
        assert exchange.balances(exchange.market.address) == (TOKENS, 3 * DOLLARS)
