"""A contract that is called in the middle of a transfer gets no second bite."""

from pathlib import Path

import pytest
from exchange import DOLLARS, MARKET_ID, OWNER, SUPPLY, TOKENS, Exchange
from localchain import FOREVER, LocalChain, account, refused, running_chain

from chaintide.contracts.build import compiled
from chaintide.contracts.interface import unhex
from chaintide.contracts.npm import NpmError

HERE = Path(__file__).parent
FOUNDER = account(1)
PERIOD_S = 60
POT = b"\x0a" * 32
CONTENT = b"\x0d" * 32
FEE = GOAL = 10**6


class Trap:
    """All contracts with a dollar that calls back, and an attacker who has a foot in each."""

    def __init__(self, chain: LocalChain, code) -> None:
        self.chain = chain
        self.usdc = chain.deploy_code(code["HookedUsdc"].abi, code["HookedUsdc"].bytecode)
        self.attacker = chain.deploy_code(code["Attacker"].abi, code["Attacker"].bytecode)
        chain.act(OWNER, self.usdc, "mint", self.attacker.address, 10**15)
        self.exchange = Exchange.on(chain, "Credential", self.usdc)
        treasury = self.attacker.address
        arguments = (self.usdc.address, treasury, PERIOD_S)
        self.slashing = chain.deploy("GovernanceSlashing", *arguments)
        self.dao = chain.deploy("AgriDAO", self.usdc.address, FOUNDER, "Valley", FEE)
        self.late_dao = chain.deploy("AgriDAO", self.usdc.address, FOUNDER, "Hill", FEE)
        self.knowledge = chain.deploy("KnowledgeTokens", self.usdc.address)
        self.prepare_market()
        self.prepare_daos()
        self.prepare_stakes()
        chain.act(FOUNDER, self.knowledge, "mintKnowledge", CONTENT, "", 1, 100)
        self.run(self.usdc, "approve", self.knowledge.address, 2**256 - 1)
        chain.remember()

    def prepare_market(self):
        exchange, market = self.exchange, self.exchange.market
        self.chain.act(OWNER, market, "createPool", MARKET_ID, TOKENS, DOLLARS)
        self.chain.act(OWNER, exchange.token, "transfer", self.attacker.address, SUPPLY // 4)
        for each in (exchange.token, self.usdc):
            self.run(each, "approve", market.address, 2**256 - 1)
        self.run(market, "addLiquidity", MARKET_ID, TOKENS, DOLLARS, 0, FOREVER)

    def prepare_stakes(self):
        self.run(self.usdc, "approve", self.slashing.address, 2**256 - 1)
        self.run(self.slashing, "deposit", POT, 10**9)
        self.run(self.slashing, "propose", POT, 10**9, POT)
        self.run(self.slashing, "castVote", 1, 1, POT)
        self.chain.pass_time(PERIOD_S)

    def prepare_daos(self):
        deadline = self.chain.now_s() + 1000
        here = self.attacker.address
        self.run(self.usdc, "approve", self.late_dao.address, 2**256 - 1)
        self.run(self.late_dao, "join")
        self.run(self.late_dao, "proposeProject", "Missed", GOAL + 1, deadline, here)
        self.run(self.late_dao, "proposeProject", "Reached", GOAL, deadline, here)
        self.run(self.late_dao, "fundProject", 1, GOAL)
        self.run(self.late_dao, "fundProject", 2, GOAL)
        self.chain.pass_time(1000)
        self.run(self.late_dao, "proposeProject", "Open", GOAL, deadline * 2, here)
        self.run(self.usdc, "approve", self.dao.address, 2**256 - 1)

    def run(self, contract, function, *arguments):
        data = unhex(contract.interface.call(function, *arguments))
        self.chain.act(OWNER, self.attacker, "run", contract.address, data)

    def attack(self, contract, first, second):
        calls = (unhex(contract.interface.call(*each)) for each in (first, second))
        self.chain.act(OWNER, self.attacker, "attack", contract.address, *calls)

    def answer(self, contract, function):
        said = self.chain.read(self.attacker, "answer")
        return contract.interface.result(function, said.hex())


@pytest.fixture(scope="module")
def live():
    names = ("HookedUsdc.sol", "Attacker.sol")
    try:
        code = compiled({name: (HERE / name).read_text() for name in names})
    except NpmError as error:
        pytest.skip(str(error))
    with running_chain() as chain:
        yield Trap(chain, code)


@pytest.fixture
def trap(live):
    live.chain.rewind()
    return live


BITES = {
    "market": [
        ("buy", MARKET_ID, 10**9, 0, FOREVER),
        ("sell", MARKET_ID, 10**21, 0, FOREVER),
        ("addLiquidity", MARKET_ID, TOKENS, DOLLARS, 0, FOREVER),
        ("removeLiquidity", MARKET_ID, 10**12, 0, 0, FOREVER),
    ],
    "slashing": [("deposit", POT, 10**6), ("execute", 1)],
    "late_dao": [
        ("fundProject", 3, 1),
        ("completeProject", 2),
    ],
    "dao": [("join",)],
    "knowledge": [("buy", 1, 1, 1)],
}
PAIRS = [
    (place, first, second) for place, calls in BITES.items() for first in calls for second in calls
]
LABELS = [f"{place}-{first[0]}-{second[0]}" for place, first, second in PAIRS]


def contract_of(trap, place):
    return trap.exchange.market if place == "market" else getattr(trap, place)


@pytest.mark.parametrize(("place", "first", "second"), PAIRS, ids=LABELS)
def test_no_second_call_while_money_moves(trap, place, first, second):
    with refused("ReentrancyGuardReentrantCall"):
        trap.attack(contract_of(trap, place), first, second)


def test_no_second_withdrawal_or_refund_while_money_moves(trap):
    trap.run(trap.slashing, "execute", 1)
    withdraw = ("withdraw", POT, 10**6)
    with refused("ReentrancyGuardReentrantCall"):
        trap.attack(trap.slashing, withdraw, withdraw)
    refund = ("refund", 1, trap.attacker.address)
    with refused("ReentrancyGuardReentrantCall"):
        trap.attack(trap.late_dao, refund, refund)


def test_no_pool_is_opened_while_another_is(trap):
    other = b"\x09" * 32
    chain, exchange = trap.chain, trap.exchange
    create = (other, "Other", "OTH", SUPPLY)
    asked = exchange.factory.transaction(OWNER, "createToken", *create)
    answer = chain.anvil.rpc("eth_call", [asked, "latest"])
    token = chain.at("MarketToken", exchange.factory.interface.result("createToken", answer))
    chain.act(OWNER, exchange.factory, "createToken", *create)
    chain.act(OWNER, token, "transfer", trap.attacker.address, SUPPLY)
    trap.run(token, "approve", exchange.market.address, SUPPLY)
    opening = ("createPool", other, TOKENS, DOLLARS)
    with refused("ReentrancyGuardReentrantCall"):
        trap.attack(exchange.market, opening, opening)
    trap.run(exchange.market, *opening)


def test_who_looks_while_money_moves_sees_what_will_be(trap):
    market = trap.exchange.market
    trap.attack(market, ("buy", MARKET_ID, 10**9, 0, FOREVER), ("pools", MARKET_ID))
    seen = trap.answer(market, "pools")
    assert seen == trap.chain.read(market, "pools", MARKET_ID)
    assert seen[2] == 2 * DOLLARS + 10**9
    trap.attack(trap.slashing, ("deposit", POT, 10**6), ("totalStaked",))
    assert trap.answer(trap.slashing, "totalStaked") == 10**9 + 10**6
    trap.attack(trap.knowledge, ("buy", 1, 7, 7), ("tokens", 1))
    assert trap.answer(trap.knowledge, "tokens")[3] == 7
