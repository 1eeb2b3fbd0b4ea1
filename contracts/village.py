"""What people do besides trading: stakes, accusations, projects, knowledge, and produce."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from eth_hash.auto import keccak

from chaintide.contracts.deployment import DOLLAR, Action, Deployment, People
from chaintide.contracts.scene import SOLD, Dao, Lot, Offer, Project, Proposal, Scene

MAX_LOTS: Final = 12
_PROJECTS: Final = ("Irrigation", "Seed bank", "Cold store", "Solar pump", "Bee hives")
_PROJECT_S: Final = 300
_CROPS: Final = ("tomatoes", "apples", "kale", "honey", "barley")
_FARMS: Final = ("North field", "River farm", "Old orchard")
_HARVESTED, _PACKED, _IN_TRANSIT, _ON_SHELF = range(SOLD)


@dataclass(frozen=True, slots=True)
class Village:
    """Everybody's next actions in one block, from a scene and random numbers."""

    people: People
    deployed: Deployment

    def actions(self, scene: Scene, rng: np.random.Generator) -> list[Action]:
        """Return what is done in one block besides trading."""
        return [
            *self._stakes(rng),
            *self._governance(scene, rng),
            *(action for dao in scene.daos for action in self._dao(dao, scene.time_s, rng)),
            *self._knowledge(scene.knowledge, rng),
            *self._produce(scene.lots, rng),
        ]

    def _stakes(self, rng: np.random.Generator) -> list[Action]:
        if rng.random() >= 0.1:
            return []
        number = int(rng.integers(len(self.people.traders)))
        amount = int(rng.integers(10, 500)) * DOLLAR
        function = "deposit" if rng.random() < 0.7 else "withdraw"
        return [self._in_court(number, function, self._stake_of(number), amount)]

    def _governance(self, scene: Scene, rng: np.random.Generator) -> list[Action]:
        proposal = scene.proposal
        if proposal is not None and scene.time_s < proposal.voting_ends:
            return self._votes(proposal, rng)
        if proposal is not None and proposal.is_passing and not proposal.is_executed:
            return [self._in_court(0, "execute", proposal.number)]
        if not scene.accusable or rng.random() >= 0.1:
            return []
        accused = self.deployed.listings[int(rng.choice(scene.accusable))].market_id
        number = int(rng.integers(len(self.people.traders)))
        amount = int(rng.integers(50, 1000)) * DOLLAR
        return [self._in_court(number, "propose", accused, amount, self._stake_of(number))]

    def _votes(self, proposal: Proposal, rng: np.random.Generator) -> list[Action]:
        return [
            self._in_court(number, "castVote", proposal.number, support, self._stake_of(number))
            for number, trader in enumerate(self.people.traders)
            for support in [int(rng.choice(3, p=(0.3, 0.6, 0.1)))]
            if trader not in proposal.voters and rng.random() < 0.15
        ]

    def _dao(self, dao: Dao, time_s: int, rng: np.random.Generator) -> list[Action]:
        outsiders = [each for each in self.people.growers if each not in dao.members]
        if outsiders and rng.random() < 0.02:
            return [Action(str(rng.choice(outsiders)), dao.contract, "join", ())]
        project = dao.project
        if project is None or project.is_completed or _is_over(project, time_s):
            return _new_project(dao, time_s, rng)
        if project.raised == project.goal:
            return [Action(dao.members[0], dao.contract, "completeProject", (project.number,))]
        if time_s >= project.deadline:
            return [
                Action(who, dao.contract, "refund", (project.number, who))
                for who, amount in project.contributions.items()
                if amount
            ]
        return _funding(dao, project, rng)

    def _knowledge(self, offers: tuple[Offer, ...], rng: np.random.Generator) -> list[Action]:
        tokens = self.deployed.contract("KnowledgeTokens")
        if rng.random() < 0.04:
            author = str(rng.choice(self.people.growers))
            content = keccak(rng.bytes(16))
            price, supply = int(rng.integers(1, 60)) * DOLLAR, int(rng.integers(20, 500))
            uri = f"ipfs://{content.hex()}"
            return [Action(author, tokens, "mintKnowledge", (content, uri, price, supply))]
        if not offers or rng.random() >= 0.25:
            return []
        offer = offers[int(rng.integers(len(offers)))]
        amount = min(int(rng.integers(1, 4)), offer.copies_left)
        if amount == 0:
            return []
        terms = (offer.token_id, amount, amount * offer.price)
        return [Action(str(rng.choice(self.people.traders)), tokens, "buy", terms)]

    def _produce(self, lots: tuple[Lot, ...], rng: np.random.Generator) -> list[Action]:
        registry = self.deployed.contract("ProduceRegistry")
        moves = [self._next_move(lot, rng) for lot in lots if rng.random() < 0.35]
        if len(lots) < MAX_LOTS and rng.random() < 0.2:
            facts = (str(rng.choice(_CROPS)), int(rng.integers(5, 500)) * 1000)
            farm = str(rng.choice(_FARMS))
            farmer = str(rng.choice(self.people.growers))
            arguments = (keccak(rng.bytes(16)), *facts, farm)
            moves.append(Action(farmer, registry, "register", arguments))
        return moves

    def _next_move(self, lot: Lot, rng: np.random.Generator) -> Action:
        carrier, shop = self.people.named("carrier"), self.people.named("shop")
        whose = {carrier: "carrier", shop: "shop"}.get(lot.holder.lower(), "farm")
        is_lucky = rng.random() < 0.5
        if (whose, lot.stage, is_lucky) == ("farm", _PACKED, True):
            report = (int(rng.integers(60, 101)), rng.bytes(32))
            return self._about(lot, self.people.named("inspector"), "verifyQuality", *report)
        moves: dict[tuple[str, int], tuple[object, ...]] = {
            ("farm", _HARVESTED): ("update", _PACKED, "Packing house"),
            ("farm", _PACKED): ("transfer", carrier),
            ("carrier", _PACKED): ("update", _IN_TRANSIT, "Road 7"),
            ("carrier", _IN_TRANSIT): ("transfer", shop),
            ("shop", _IN_TRANSIT): ("update", _ON_SHELF, "Market square"),
        }
        price = ("setPrice", int(rng.integers(5, 400)) * DOLLAR)
        last = ("update", SOLD, "Market square") if lot.price else price
        function, *arguments = moves.get((whose, lot.stage), last)
        return self._about(lot, lot.holder, str(function), *arguments)

    def _about(self, lot: Lot, who: str, function: str, *arguments: object) -> Action:
        registry = self.deployed.contract("ProduceRegistry")
        return Action(who, registry, function, (lot.produce_id, *arguments))

    def _stake_of(self, number: int) -> bytes:
        return self.deployed.listings[number % len(self.deployed.listings)].market_id

    def _in_court(self, number: int, function: str, *arguments: object) -> Action:
        court = self.deployed.contract("GovernanceSlashing")
        return Action(self.people.traders[number], court, function, arguments)


def _is_over(project: Project, time_s: int) -> bool:
    return time_s >= project.deadline and project.raised == 0


def _new_project(dao: Dao, time_s: int, rng: np.random.Generator) -> list[Action]:
    if rng.random() >= 0.1:
        return []
    proposer = str(rng.choice(dao.members))
    goal = int(rng.integers(5, 50)) * 100 * DOLLAR
    facts = (str(rng.choice(_PROJECTS)), goal, time_s + _PROJECT_S, proposer)
    return [Action(proposer, dao.contract, "proposeProject", facts)]


def _funding(dao: Dao, project: Project, rng: np.random.Generator) -> list[Action]:
    if rng.random() >= 0.2:
        return []
    part = project.goal * int(rng.integers(5, 30)) // 100
    amount = min(part, project.goal - project.raised)
    who = str(rng.choice(dao.members))
    return [Action(who, dao.contract, "fundProject", (project.number, amount))]
