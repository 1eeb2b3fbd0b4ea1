"""Real activity on a local chain, from a seed: trades, votes, projects, produce, and reorgs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from chaintide.contracts.contract import Rpc
from chaintide.contracts.deployment import Action, Deployment, People, deploy_all
from chaintide.contracts.scene import Question, read_scene
from chaintide.contracts.trading import Trading
from chaintide.contracts.village import Village

MAX_REORG: Final = 5  # blocks below the highest ever, of which eight are not final
_SHORTER: Final = 0.3  # of the reorgs leave a shorter chain for a moment
_COMES_AGAIN: Final = 0.85  # of the transactions that a reorg took out
_LATER: Final = 0.4  # of these come one block later


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step did: it took back so many blocks, then sent transactions into a new one."""

    undone: int
    transactions: int


class Activity:
    """Everything that happens on one chain, which must mine only when it is asked to.

    On two fresh chains with the same start, one seed with a ``block_time_s`` makes the same
    blocks. Without it, blocks have the time at which they are made. A reorg happens every
    ``reorg_every`` steps on average, never with zero.
    """

    def __init__(
        self,
        seed: int,
        *,
        trades_per_block: float = 4.0,
        reorg_every: float = 40.0,
        block_time_s: int | None = None,
    ) -> None:
        self.people = People(seed)
        self._trades_per_block = trades_per_block
        self._reorg_chance = 1 / reorg_every if reorg_every else 0.0
        self._block_time_s = block_time_s
        self._rng = np.random.default_rng(seed)
        self._first = self._highest = 0
        self._lots: list[bytes] = []
        self._site: tuple[Deployment, Village, Trading] | None = None

    def deploy(self, rpc: Rpc) -> Deployment:
        """Deploy everything and let people move in; once, before the first step."""
        if self._block_time_s is not None:
            rpc("anvil_setBlockTimestampInterval", [self._block_time_s])
        deployed = deploy_all(rpc, self.people)
        self._first = self._highest = int(rpc("eth_blockNumber"), 16)
        trading = Trading(self.people, deployed, self._trades_per_block)
        self._site = deployed, Village(self.people, deployed), trading
        return deployed

    def step(self, rpc: Rpc) -> Step:
        """Make the next block; sometimes replace the newest ones first.

        Raises:
            RuntimeError: If nothing is deployed.
        """
        undone = self._reorg(rpc) if self._rng.random() < self._reorg_chance else 0
        actions = self._plan(rpc)
        for action in actions:
            rpc("eth_sendTransaction", [action.transaction()])
        rpc("evm_mine")
        return Step(undone=undone, transactions=len(actions))

    def _plan(self, rpc: Rpc) -> list[Action]:
        if self._site is None:
            raise RuntimeError("deploy before the first step")
        deployed, village, trading = self._site
        orders = trading.orders(self._rng)
        holdings = frozenset((order.trader, order.listing) for order in orders)
        question = Question(holdings, tuple(self._lots))
        scene = read_scene(rpc, self.people, deployed, question)
        actions = [
            *trading.swaps(orders, scene, self._rng),
            *trading.liquidity(scene, self._rng),
            *village.actions(scene, self._rng),
        ]
        self._lots = [*(lot.produce_id for lot in scene.lots), *_new_lots(actions)]
        return actions

    def _reorg(self, rpc: Rpc) -> int:
        """Take the newest blocks back, and often put others in their place at once.

        Of the transactions in them most come again, many of them one block later.
        """
        head = int(rpc("eth_blockNumber"), 16)
        self._highest = max(self._highest, head)
        lowest = max(self._first, self._highest - MAX_REORG)
        depth = min(int(self._rng.integers(1, MAX_REORG + 1)), head - lowest)
        if depth <= 0:
            return 0
        if self._rng.random() < _SHORTER:
            rpc("anvil_rollback", [depth])
            return depth
        blocks = [
            rpc("eth_getBlockByNumber", [hex(number), True])
            for number in range(head - depth + 1, head + 1)
        ]
        placed = [
            (_again(transaction), place + int(self._rng.random() < _LATER))
            for place, block in enumerate(blocks)
            for transaction in block["transactions"]
            if self._rng.random() < _COMES_AGAIN
        ]
        rpc("anvil_reorg", [depth, [each for each in placed if each[1] < depth]])
        return depth


def _again(transaction: Mapping[str, str]) -> dict[str, str]:
    """Return what asks for the same transaction once more."""
    return {
        "from": transaction["from"],
        "to": transaction["to"],
        "gas": transaction["gas"],
        "data": transaction["input"],
    }


def _new_lots(actions: list[Action]) -> list[bytes]:
    return [
        each.arguments[0]
        for each in actions
        if each.function == "register" and isinstance(each.arguments[0], bytes)
    ]
