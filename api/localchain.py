"""A chain on this machine with our contracts on it, on which people trade, vote and farm."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from chaintide.contracts.activity import Activity
from chaintide.contracts.anvil import Anvil, AnvilError, AnvilOptions, start_anvil
from chaintide.contracts.deployment import Deployment
from chaintide.contracts.npm import NpmError
from chaintide.streams.chain.chainfile import ChainConfig, ContractConfig, read_chains
from chaintide.streams.child import Child
from chaintide.streams.errors import ConfigError, FatalError

logger = logging.getLogger(__name__)
NAME: Final = "local"
FIRST_ID: Final = 31_337
_HEAD_START_S: Final = 60  # blocks that deploy come faster than one a second
_KINDS: Final = {
    "CredentialTokenFactory": "credential-factory",
    "PersonaTokenFactory": "persona-factory",
    "CredentialMarket": "credential-market",
    "PersonaMarket": "persona-market",
    "GovernanceSlashing": "governance",
    "AgriDAOFactory": "dao-factory",
    "KnowledgeTokens": "knowledge",
    "ProduceRegistry": "produce",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalChain:
    """What is to happen on the chain, and the file that will name it, in ``CHAINTIDE_CHAINS``."""

    file: Path
    seed: int
    block_s: float
    trades_per_block: float
    reorg_every: float
    port: int

    async def run(self, now_ms: Callable[[], int]) -> None:
        """Start the chain, deploy, write ``file``, and make block after block until cancelled.

        Raises:
            ConfigError: If anvil cannot be had.
            FatalError: If the chain has gone.
        """
        chain_id = next_id(self.file)
        options = AnvilOptions(
            is_mining=False,
            chain_id=chain_id,
            port=self.port,
            start_s=now_ms() // 1000 - _HEAD_START_S,
        )
        log = self.file.with_suffix(".anvil.log")
        try:
            anvil = await asyncio.to_thread(start_anvil, Child, log, options)
        except NpmError as error:
            raise ConfigError(str(error)) from error
        except AnvilError as error:
            raise FatalError(str(error)) from error
        try:
            await self._live(anvil, chain_id, now_ms)
        except AnvilError as error:
            raise FatalError(str(error)) from error
        finally:
            anvil.stop()

    async def _live(self, anvil: Anvil, chain_id: int, now_ms: Callable[[], int]) -> None:
        activity = Activity(
            self.seed, trades_per_block=self.trades_per_block, reorg_every=self.reorg_every
        )
        deployed = await asyncio.to_thread(activity.deploy, anvil.rpc)
        write(self.file, config_of(chain_id, anvil.url, deployed, self.block_s))
        while True:
            began_ms = now_ms()
            await asyncio.to_thread(anvil.rpc, "evm_setTime", [began_ms // 1000])
            step = await asyncio.to_thread(activity.step, anvil.rpc)
            if step.undone:
                logger.warning("a reorg took back blocks undone=%d", step.undone)
            await asyncio.sleep(max(0.0, self.block_s - (now_ms() - began_ms) / 1000))


def config_of(chain_id: int, url: str, deployed: Deployment, block_s: float) -> ChainConfig:
    """Return how a local chain with all our contracts is followed."""
    return ChainConfig(
        name=NAME,
        id=chain_id,
        http=[url],
        ws=url.replace("http", "ws", 1),
        start_block=deployed.start_block,
        poll_ms=max(100, int(block_s * 500)),
        quotes=[deployed.addresses["MockUsdc"]],
        contracts=[
            ContractConfig(address=deployed.addresses[name], kind=kind)
            for name, kind in _KINDS.items()
        ],
    )


def write(file: Path, chain: ChainConfig) -> None:
    """Make ``file`` name ``chain`` and no other, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    told = {"chains": [msgspec.to_builtins(chain)]}
    draft.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    draft.replace(file)


def former_ids(file: Path) -> list[str]:
    """Return the ids of all chains before the one that begins next."""
    return [str(number) for number in range(FIRST_ID, next_id(file))]


def next_id(file: Path) -> int:
    """Return the id of a new chain, another than that of the last one, which ``file`` names.

    A chain that begins anew is another chain: what was final on the last one is not on this.
    """
    try:
        return read_chains(file)[0].id + 1
    except ConfigError:
        return FIRST_ID
