"""A market on the test chain, and what it must answer, reckoned in Python."""

from dataclasses import dataclass
from typing import Any, Self

from localchain import FOREVER, LocalChain, account

from chaintide.contracts.contract import Contract
from chaintide.contracts.interface import Said

OWNER, ALICE, BOB = account(1), account(2), account(3)
PEOPLE = (OWNER, ALICE, BOB)
MARKET_ID = b"\x07" * 32
LOCKED_SHARES = 1000
SUPPLY = MAX_AMOUNT = 2**112 - 1
TOKENS, DOLLARS = 1_000_000 * 10**18, 50_000 * 10**6


def ceil_div(amount: int, divisor: int) -> int:
    return -(-amount // divisor)


def buy_quote(tokens: int, dollars: int, dollars_in: int) -> tuple[int, int]:
    """Tokens out and the fee in dollars, rounded in favour of the pool."""
    fee = ceil_div(dollars_in * 30, 10_000)
    paid = dollars_in - fee
    return tokens * paid // (dollars + paid), fee


def sell_quote(tokens: int, dollars: int, tokens_in: int) -> tuple[int, int]:
    """Dollars out and the fee that is already off, rounded in favour of the pool."""
    worth = dollars * tokens_in // (tokens + tokens_in)
    fee = ceil_div(worth * 30, 10_000)
    return worth - fee, fee


@dataclass
class Exchange:
    """One market with one token, whose supply is shared among three people."""

    chain: LocalChain
    usdc: Contract
    factory: Contract
    market: Contract
    token: Contract
    key: str

    @classmethod
    def on(cls, chain: LocalChain, kind: str, usdc: Contract | None = None) -> Self:
        usdc = usdc or chain.deploy("MockUsdc")
        factory = chain.deploy(f"{kind}TokenFactory")
        market = chain.deploy(f"{kind}Market", usdc.address, factory.address)
        create = factory.transaction(OWNER, "createToken", MARKET_ID, "Any", "ANY", SUPPLY)
        answer = chain.anvil.rpc("eth_call", [create, "latest"])
        token = chain.at("MarketToken", factory.interface.result("createToken", answer))
        chain.act(OWNER, factory, "createToken", MARKET_ID, "Any", "ANY", SUPPLY)
        for person in PEOPLE:
            chain.act(person, usdc, "mint", person, MAX_AMOUNT)
            chain.act(person, usdc, "approve", market.address, 2**256 - 1)
            chain.act(person, token, "approve", market.address, 2**256 - 1)
        for person in (ALICE, BOB):
            chain.act(OWNER, token, "transfer", person, SUPPLY // 4)
        chain.remember()
        key = {"Credential": "credentialId", "Persona": "personaId"}[kind]
        return cls(chain, usdc, factory, market, token, key)

    def open(self, tokens: int = TOKENS, dollars: int = DOLLARS) -> Self:
        """A fresh chain with a pool that holds so much."""
        self.chain.rewind()
        self.act(OWNER, "createPool", tokens, dollars)
        return self

    def act(self, person: str, function: str, *arguments: int) -> dict[str, Said]:
        """What the market said, by event."""
        said = self.chain.act(person, self.market, function, MARKET_ID, *arguments)
        return {each.name: each for each in said}

    def swap(self, person: str, function: str, amount: int, least: int = 0) -> Said:
        return self.act(person, function, amount, least, FOREVER)["Swap"]

    def read(self, function: str, *arguments: object) -> Any:
        return self.chain.read(self.market, function, MARKET_ID, *arguments)

    def reserves(self) -> tuple[int, int]:
        _token, tokens, dollars, _shares = self.read("pools")
        return tokens, dollars

    def shares(self) -> int:
        shares: int = self.read("pools")[3]
        return shares

    def shares_of(self, person: str) -> int:
        shares: int = self.read("sharesOf", person)
        return shares

    def balances(self, holder: str) -> tuple[int, int]:
        tokens, dollars = (
            self.chain.read(each, "balanceOf", holder) for each in (self.token, self.usdc)
        )
        return tokens, dollars
