"""What people on the local chain look at before they act, read at its head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaintide.contracts.contract import Contract, Rpc, contract_at
from chaintide.contracts.deployment import Deployment, People

SOLD: Final = 4
_OFFERS: Final = 6  # the newest ones are looked at


Holding = tuple[str, int]  # who, and the number of the listing


@dataclass(frozen=True, slots=True)
class Pool:
    """What a market holds of one token."""

    tokens: int
    dollars: int

    @property
    def price(self) -> float:
        """Units of USDC for one unit of the token."""
        return self.dollars / self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The newest accusation, and while votes are taken who has voted."""

    number: int
    voting_ends: int
    is_executed: bool
    is_passing: bool
    voters: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The newest project of a DAO, and once it has failed who gave how much."""

    number: int
    deadline: int
    is_completed: bool
    goal: int
    raised: int
    contributions: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dao:
    """A DAO: its members, and its newest project if it has had one."""

    contract: Contract
    members: tuple[str, ...]
    project: Project | None


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot of produce on its way: ``stage`` as in the contract, below ``SOLD``."""

    produce_id: bytes
    holder: str
    stage: int
    price: int


@dataclass(frozen=True, slots=True)
class Offer:
    """Knowledge for sale."""

    token_id: int
    price: int
    copies_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The state of the chain as far as anybody's next action depends on it."""

    time_s: int
    pools: tuple[Pool, ...]
    holdings: Mapping[Holding, int]
    accusable: tuple[int, ...]
    proposal: Proposal | None
    daos: tuple[Dao, ...]
    knowledge: tuple[Offer, ...]
    lots: tuple[Lot, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What has to be known besides what always is: whose tokens, and which lots."""

    holdings: frozenset[Holding]
    lots: tuple[bytes, ...]


def read_scene(rpc: Rpc, people: People, deployed: Deployment, question: Question) -> Scene:
    """Return what is so at the head; of the lots those that are known and not yet sold."""
    time_s = int(rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)
    proposal = _proposal(rpc, people, deployed, time_s)
    is_quiet = proposal is None or proposal.voting_ends <= time_s
    return Scene(
        time_s=time_s,
        pools=tuple(_pools(rpc, deployed)),
        holdings={each: _holding(rpc, deployed, each) for each in sorted(question.holdings)},
        accusable=tuple(_accusable(rpc, deployed, time_s)) if is_quiet else (),
        proposal=proposal,
        daos=tuple(_dao(rpc, people, contract_at("AgriDAO", dao), time_s) for dao in deployed.daos),
        knowledge=tuple(_knowledge(rpc, deployed)),
        lots=tuple(_lots(rpc, deployed, question.lots)),
    )


def _pools(rpc: Rpc, deployed: Deployment) -> list[Pool]:
    pools = []
    for listing in deployed.listings:
        market = contract_at(f"{listing.kind.title()}Market", listing.market)
        _token, tokens, dollars, _shares = market.read(rpc, "pools", listing.market_id)
        pools.append(Pool(tokens, dollars))
    return pools


def _holding(rpc: Rpc, deployed: Deployment, holding: Holding) -> int:
    trader, number = holding
    token = contract_at("MarketToken", deployed.listings[number].token)
    return int(token.read(rpc, "balanceOf", trader))


def _accusable(rpc: Rpc, deployed: Deployment, time_s: int) -> list[int]:
    slashing = deployed.contract("GovernanceSlashing")
    pots = [slashing.read(rpc, "pots", listing.market_id) for listing in deployed.listings]
    return [
        number
        for number, (amount, _shares, _frozen, peace_until) in enumerate(pots)
        if amount > 1 and peace_until <= time_s
    ]


def _proposal(rpc: Rpc, people: People, deployed: Deployment, time_s: int) -> Proposal | None:
    slashing = deployed.contract("GovernanceSlashing")
    number = slashing.read(rpc, "proposalCount")
    if number == 0:
        return None
    found = slashing.read(rpc, "proposals", number)
    _credential, _amount, quorum, _proposed, ends, is_executed, against, votes, abstained = found
    asked = people.traders if time_s < ends else ()
    return Proposal(
        number=number,
        voting_ends=ends,
        is_executed=is_executed,
        is_passing=votes > against and against + votes + abstained >= quorum,
        voters=frozenset(
            trader for trader in asked if slashing.read(rpc, "hasVoted", number, trader)
        ),
    )


def _dao(rpc: Rpc, people: People, dao: Contract, time_s: int) -> Dao:
    number = dao.read(rpc, "projectCount")
    return Dao(
        contract=dao,
        members=tuple(each for each in people.growers if dao.read(rpc, "isMember", each)),
        project=_project(rpc, people, dao, number, time_s=time_s) if number else None,
    )


def _project(rpc: Rpc, people: People, dao: Contract, number: int, *, time_s: int) -> Project:
    _farm, deadline, is_completed, goal, raised = dao.read(rpc, "projects", number)
    has_failed = raised < goal and deadline <= time_s
    asked = (*people.growers, dao.address) if has_failed and raised else ()
    return Project(
        number=number,
        deadline=deadline,
        is_completed=is_completed,
        goal=goal,
        raised=raised,
        contributions={each: dao.read(rpc, "contributions", number, each) for each in asked},
    )


def _knowledge(rpc: Rpc, deployed: Deployment) -> list[Offer]:
    tokens = deployed.contract("KnowledgeTokens")
    newest = tokens.read(rpc, "tokenCount")
    numbers = range(max(1, newest - _OFFERS + 1), newest + 1)
    found = [(number, tokens.read(rpc, "tokens", number)) for number in numbers]
    return [
        Offer(number, price, supply - sold)
        for number, (_author, price, supply, sold, _uri) in found
    ]


def _lots(rpc: Rpc, deployed: Deployment, lots: Sequence[bytes]) -> list[Lot]:
    registry = deployed.contract("ProduceRegistry")
    found = [(produce_id, registry.read(rpc, "lots", produce_id)) for produce_id in lots]
    return [
        Lot(produce_id, holder, stage, price)
        for produce_id, (farmer, _grams, stage, holder, price) in found
        if int(farmer, 16) and stage != SOLD  # a reorg may have undone the harvest
    ]
