"""A seed makes a lively chain, the same one every time, whose reorgs stop above what is final."""

from collections import Counter

import pytest
from localchain import START_S

from chaintide.contracts.activity import MAX_REORG, Activity
from chaintide.contracts.anvil import AnvilOptions, start_anvil
from chaintide.contracts.contract import contract_at
from chaintide.contracts.npm import NpmError
from chaintide.streams.child import Child

STEPS = 120


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    chains = []

    def started():
        log = tmp_path_factory.mktemp("anvil") / "anvil.log"
        try:
            chains.append(start_anvil(Child, log, AnvilOptions(is_mining=False, start_s=START_S)))
        except NpmError as error:
            pytest.skip(str(error))
        return chains[-1].rpc

    yield started
    for chain in chains:
        chain.stop()


class Day:
    """What a chain has to tell after a while without reorgs."""

    def __init__(self, rpc) -> None:
        self.rpc = rpc
        activity = Activity(1, reorg_every=0, block_time_s=3)
        self.deployed = activity.deploy(rpc)
        self.people = activity.people
        self.steps = [activity.step(rpc) for _ in range(STEPS)]
        names = {address.lower(): name for name, address in self.deployed.addresses.items()}
        names |= {dao.lower(): "AgriDAO" for dao in self.deployed.daos}
        names |= {listing.token.lower(): "MarketToken" for listing in self.deployed.listings}
        asked = {"fromBlock": hex(self.deployed.start_block + 1), "toBlock": "latest"}
        self.said = [
            (names[log["address"]], contract.log(log["topics"], log["data"]))
            for log in rpc("eth_getLogs", [asked])
            for contract in [contract_at(names[log["address"]], log["address"]).interface]
        ]
        self.counts = Counter((name, said.name) for name, said in self.said)


@pytest.fixture(scope="module")
def day(start):
    return Day(start())


@pytest.mark.parametrize(
    ("contract", "events"),
    [
        ("CredentialTokenFactory", {"CredentialTokenCreated"}),
        ("PersonaTokenFactory", {"PersonaTokenCreated"}),
        ("CredentialMarket", {"PoolCreated", "Swap", "ReservesUpdated", "LiquidityAdded"}),
        ("PersonaMarket", {"PoolCreated", "Swap", "ReservesUpdated", "LiquidityAdded"}),
        ("GovernanceSlashing", {"StakeDeposited", "ProposalCreated", "VoteCast"}),
        ("GovernanceSlashing", {"ProposalExecuted", "StakeSlashed"}),
        ("AgriDAOFactory", {"DAOCreated"}),
        ("AgriDAO", {"MemberJoined", "ProjectProposed", "ProjectFunded", "ProjectCompleted"}),
        ("KnowledgeTokens", {"KnowledgeTokenMinted", "KnowledgePurchased"}),
        ("ProduceRegistry", {"ProduceRegistered", "ProduceUpdated", "ProduceTransferred"}),
        ("ProduceRegistry", {"PriceSet", "QualityVerified"}),
    ],
)
def test_everything_happens(day, contract, events):
    assert {event for name, event in day.counts if name == contract} >= events


def test_a_follower_knows_no_log_before_the_start_block(day):
    assert day.deployed.start_block == 0
    assert day.rpc("eth_getBlockByNumber", ["0x1", False])["transactions"] != []


def test_both_sides_and_many_people_trade_in_every_market(day):
    swaps = [said for _name, said in day.said if said.name == "Swap"]
    assert {said["user"] for said in swaps} <= {*day.people.traders}
    assert len({said["user"] for said in swaps}) > len(day.people.traders) // 2
    for listing in day.deployed.listings:
        sides = {
            said["tokenAmount"] > 0
            for said in swaps
            if listing.market_id in said.arguments.values()
        }
        assert sides == {True, False}, listing.symbol


def test_prices_move_but_do_not_run_away(day):
    for listing in day.deployed.listings:
        prices = [
            said["usdcReserves"] / said["tokenReserves"]
            for _name, said in day.said
            if said.name == "ReservesUpdated" and listing.market_id in said.arguments.values()
        ]
        assert len(set(prices)) > 5
        assert max(prices) < 2 * min(prices)


def test_what_the_markets_said_adds_up_to_what_they_hold(day):
    for listing in day.deployed.listings:
        market = contract_at(f"{listing.kind.title()}Market", listing.market)
        tokens = dollars = 0
        for _name, said in day.said:
            if listing.market_id not in said.arguments.values():
                continue
            sign = {"LiquidityAdded": 1, "LiquidityRemoved": -1, "Swap": 1}.get(said.name, 0)
            if sign:
                tokens += sign * said["tokenAmount"]
                dollars += sign * said["usdcAmount"]
        assert market.read(day.rpc, "pools", listing.market_id)[1:3] == (tokens, dollars)


def test_almost_every_transaction_succeeds(day):
    head = int(day.rpc("eth_blockNumber"), 16)
    receipts = [
        receipt
        for number in range(head - STEPS + 1, head + 1)
        for receipt in day.rpc("eth_getBlockReceipts", [hex(number)])
    ]
    assert len(receipts) == sum(step.transactions for step in day.steps)
    assert sum(receipt["status"] == "0x1" for receipt in receipts) > 0.95 * len(receipts)


def hashes(rpc):
    """The hash of every block, and the number of the final one."""
    head = int(rpc("eth_blockNumber"), 16)
    blocks = [rpc("eth_getBlockByNumber", [hex(number), False]) for number in range(head + 1)]
    final = rpc("eth_getBlockByNumber", ["finalized", False])
    return [block["hash"] for block in blocks], int(final["number"], 16)


def test_the_same_seed_makes_the_same_chain(start):
    chains = []
    for seed in (7, 7, 8):
        rpc, activity = start(), Activity(seed, reorg_every=2, block_time_s=2)
        activity.deploy(rpc)
        steps = [activity.step(rpc) for _ in range(10)]
        assert any(step.undone for step in steps), seed
        chains.append(hashes(rpc)[0])
    assert chains[0] == chains[1]
    assert chains[0][-1] != chains[2][-1]


def test_reorgs_replace_some_blocks_shorten_the_chain_and_spare_what_is_final(start):
    rpc, activity = start(), Activity(3, reorg_every=2)
    activity.deploy(rpc)
    before, final = hashes(rpc)
    depths, changes = set(), set()
    for _ in range(40):
        step = activity.step(rpc)
        after, new_final = hashes(rpc)
        kept = sum(old == new for old, new in zip(before, after, strict=False))
        assert after[: final + 1] == before[: final + 1]
        assert step.undone <= MAX_REORG
        assert kept >= len(before) - step.undone
        depths.add(len(before) - kept)
        changes.add(len(after) - len(before))
        before, final = after, max(final, new_final)
    assert depths == set(range(MAX_REORG + 1))
    assert max(changes) == 1
    assert min(changes) < 0


def test_what_a_reorg_took_out_mostly_comes_again_and_some_of_it_later(start):
    rpc, activity = start(), Activity(5, reorg_every=2)
    markets = {listing.market for listing in activity.deploy(rpc).listings}
    places = Counter()
    for _ in range(40):
        before = trades(rpc, markets)
        if not activity.step(rpc).undone:
            continue
        after = trades(rpc, markets)
        for number, block in enumerate(before):
            if after[number : number + 1] == [block]:
                continue
            for each in block:
                found = [place for place, others in enumerate(after) if each in others]
                places["gone" if not found else found[0] - number] += 1
    assert {*places} == {"gone", 0, 1}


def trades(rpc, markets):
    """What was asked of the markets in each block; no two requests are the same."""
    head = int(rpc("eth_blockNumber"), 16)
    blocks = [rpc("eth_getBlockByNumber", [hex(number), True]) for number in range(head + 1)]
    return [
        [each["from"] + each["input"] for each in block["transactions"] if each["to"] in markets]
        for block in blocks
    ]


def test_nothing_happens_before_everything_is_deployed(start):
    with pytest.raises(RuntimeError, match="deploy before the first step"):
        Activity(1, reorg_every=0).step(start())
