"""All contracts on a fresh chain, with tokens, liquidity, stakes and people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from eth_hash.auto import keccak

from chaintide.contracts.contract import Contract, Rpc, contract_at, deployment

DOLLAR: Final = 10**6
TOKEN: Final = 10**18
NEVER: Final = 2**64 - 1
_EVERYTHING: Final = 2**256 - 1
_PURSE: Final = 10_000_000 * DOLLAR
_SUPPLY: Final = 2_000_000 * TOKEN
_LIQUID: Final = 1_000_000 * TOKEN
_STAKE: Final = 2_000 * DOLLAR
_FEE: Final = 25 * DOLLAR
_TRADERS: Final = 12
_GROWERS: Final = 6
VOTING_PERIOD_S: Final = 60
DAO_NAMES: Final = ("Valley Growers", "Hill Orchards")
_LISTINGS: Final = (  # kind, name, symbol, dollars of liquidity
    ("credential", "Master Welder", "WELD", 250_000),
    ("credential", "Rust Engineer", "RUST", 900_000),
    ("credential", "Dairy Inspector", "DAIRY", 60_000),
    ("persona", "Ada the Tutor", "ADAT", 400_000),
    ("persona", "Chef Nilo", "NILO", 120_000),
)


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody does to a contract."""

    sender: str
    contract: Contract
    function: str
    arguments: tuple[object, ...]

    def transaction(self) -> Mapping[str, str]:
        """Return it as a transaction."""
        return self.contract.transaction(self.sender, self.function, *self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A token that is traded: its id, and where it and its market are."""

    kind: str
    symbol: str
    market_id: bytes
    token: str
    market: str


@cache
def _address(seed: int, role: str) -> str:
    return "0x" + keccak(f"chaintide {seed} {role}".encode())[-20:].hex()


@dataclass(frozen=True, slots=True)
class People:
    """Who lives on the chain: the same addresses for the same seed."""

    seed: int

    def named(self, role: str) -> str:
        """Return the address of somebody.

        >>> People(1).named("maker")
        '0x431c5d35d63d3b5d69b2a048504a859488cc8bd5'
        """
        return _address(self.seed, role)

    @property
    def traders(self) -> tuple[str, ...]:
        """Who buys, sells, stakes and votes."""
        return tuple(self.named(f"trader {number}") for number in range(_TRADERS))

    @property
    def growers(self) -> tuple[str, ...]:
        """Who farms; the first one founds the DAOs."""
        return tuple(self.named(f"grower {number}") for number in range(_GROWERS))

    @property
    def everybody(self) -> tuple[str, ...]:
        """All who send transactions."""
        others = ("maker", "carrier", "shop", "inspector")
        return (*self.traders, *self.growers, *map(self.named, others))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where everything is; ``start_block`` comes before all of its logs."""

    start_block: int
    addresses: Mapping[str, str]
    listings: tuple[Listing, ...]
    daos: tuple[str, ...]

    def contract(self, name: str) -> Contract:
        """Return one of the contracts of which there is one."""
        return contract_at(name, self.addresses[name])


def deploy_all(rpc: Rpc, people: People) -> Deployment:
    """Deploy everything on a chain that mines when asked, and let people move in.

    Raises:
        RuntimeError: If the chain does not do as it is told.
    """
    start_block = int(rpc("eth_blockNumber"), 16)
    rpc("anvil_autoImpersonateAccount", [True])
    for person in people.everybody:
        rpc("anvil_setBalance", [person, hex(10**24)])
    addresses = _contracts(rpc, people)
    listings = _listings(rpc, people, addresses)
    daos = _daos(rpc, people, addresses)
    deployed = Deployment(
        start_block=start_block, addresses=addresses, listings=listings, daos=daos
    )
    _mined(rpc, (action.transaction() for action in _moving_in(people, deployed)))
    _mined(rpc, (action.transaction() for action in _opening(people, deployed)))
    return deployed


def _contracts(rpc: Rpc, people: People) -> dict[str, str]:
    maker = people.named("maker")
    [usdc] = _addresses(rpc, [deployment("MockUsdc", maker)])
    treasury = people.named("treasury")
    plan: dict[str, tuple[object, ...]] = {
        "CredentialTokenFactory": (),
        "PersonaTokenFactory": (),
        "GovernanceSlashing": (usdc, treasury, VOTING_PERIOD_S),
        "AgriDAOFactory": (usdc,),
        "KnowledgeTokens": (usdc,),
        "ProduceRegistry": (maker,),
    }
    found = _addresses(rpc, [deployment(name, maker, *given) for name, given in plan.items()])
    addresses = {"MockUsdc": usdc, **dict(zip(plan, found, strict=True))}
    kinds = ("Credential", "Persona")
    markets = [
        deployment(f"{kind}Market", maker, usdc, addresses[f"{kind}TokenFactory"]) for kind in kinds
    ]
    found = _addresses(rpc, markets)
    return addresses | {
        f"{kind}Market": address for kind, address in zip(kinds, found, strict=True)
    }


def _listings(rpc: Rpc, people: People, addresses: Mapping[str, str]) -> tuple[Listing, ...]:
    maker = people.named("maker")
    asked = []
    for kind, name, symbol, _dollars in _LISTINGS:
        factory = f"{kind.title()}TokenFactory"
        calls = contract_at(factory, addresses[factory])
        arguments = (keccak(name.encode()), name, symbol, _SUPPLY)
        asked.append(Action(maker, calls, "createToken", arguments))
    _mined(rpc, (action.transaction() for action in asked))
    return tuple(
        Listing(
            kind=kind,
            symbol=symbol,
            market_id=keccak(name.encode()),
            token=action.contract.read(rpc, "tokenOf", keccak(name.encode())),
            market=addresses[f"{kind.title()}Market"],
        )
        for action, (kind, name, symbol, _dollars) in zip(asked, _LISTINGS, strict=True)
    )


def _daos(rpc: Rpc, people: People, addresses: Mapping[str, str]) -> tuple[str, ...]:
    factory = contract_at("AgriDAOFactory", addresses["AgriDAOFactory"])
    founder = people.growers[0]
    asked = (factory.transaction(founder, "createDAO", name, _FEE) for name in DAO_NAMES)
    receipts = _mined(rpc, asked)
    said = [
        factory.interface.log(log["topics"], log["data"])
        for receipt in receipts
        for log in receipt["logs"]
    ]
    return tuple(each["dao"] for each in said if each is not None)


def _moving_in(people: People, deployed: Deployment) -> Iterable[Action]:
    """Everybody gets dollars and lets the contracts take them."""
    usdc = deployed.contract("MockUsdc")
    payees = ("CredentialMarket", "PersonaMarket", "GovernanceSlashing", "KnowledgeTokens")
    spenders = [*(deployed.addresses[name] for name in payees), *deployed.daos]
    for person in people.everybody:
        yield Action(person, usdc, "mint", (person, _PURSE))
        for spender in spenders:
            yield Action(person, usdc, "approve", (spender, _EVERYTHING))
    for listing in deployed.listings:
        token = contract_at("MarketToken", listing.token)
        for person in (*people.traders, people.named("maker")):
            yield Action(person, token, "approve", (listing.market, _EVERYTHING))


def _opening(people: People, deployed: Deployment) -> Iterable[Action]:
    """Pools open, people join and stake, the inspector is trusted."""
    maker = people.named("maker")
    for listing, (_kind, _name, _symbol, dollars) in zip(deployed.listings, _LISTINGS, strict=True):
        market = contract_at(f"{listing.kind.title()}Market", listing.market)
        yield Action(maker, market, "createPool", (listing.market_id, _LIQUID, dollars * DOLLAR))
    slashing = deployed.contract("GovernanceSlashing")
    for number, trader in enumerate(people.traders):
        listing = deployed.listings[number % len(deployed.listings)]
        yield Action(trader, slashing, "deposit", (listing.market_id, _STAKE))
    for dao in deployed.daos:
        for grower in people.growers[1:4]:
            yield Action(grower, contract_at("AgriDAO", dao), "join", ())
    registry = deployed.contract("ProduceRegistry")
    yield Action(maker, registry, "setVerifier", (people.named("inspector"), True))


def _addresses(rpc: Rpc, transactions: Sequence[Mapping[str, str]]) -> list[str]:
    return [receipt["contractAddress"] for receipt in _mined(rpc, transactions)]


def _mined(rpc: Rpc, transactions: Iterable[Mapping[str, str]]) -> list[Any]:
    """Return the receipts of transactions, all in one block."""
    hashes = [rpc("eth_sendTransaction", [each]) for each in transactions]
    rpc("evm_mine")
    receipts = [rpc("eth_getTransactionReceipt", [each]) for each in hashes]
    for receipt in receipts:
        if receipt is None or receipt["status"] != "0x1":
            raise RuntimeError(f"the chain refused to deploy: {receipt}")
    return receipts
