"""The local chain of the demo: fetched, kept running, and followed under whatever id it has."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaintide.api.supervisor import Supervisor
from chaintide.contracts.anvil import program
from chaintide.contracts.npm import NpmError

CHAINS: Final = "chains"
LOCAL_CHAIN: Final = "local-chain"
NAME: Final = "local"
CHAIN_FILE: Final = "chains.json"
LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class DemoChain:
    """One chain that lives in ``home`` as roles of ``supervisor``, if anvil can be had."""

    home: Path
    supervisor: Supervisor
    say: Callable[[str], None]

    @property
    def file(self) -> Path:
        """The file that names the chain and its contracts."""
        return self.home / CHAIN_FILE

    async def keep(self) -> None:
        """Start the chain and follow it until cancelled; every new one after the one before."""
        try:
            await asyncio.to_thread(program)
        except NpmError as error:
            self.say(f"no local chain, simulated markets only: {error}")
            return
        self.say("starting a local chain")
        self.home.mkdir(parents=True, exist_ok=True)
        last = self._named()
        self.supervisor.add(LOCAL_CHAIN, "chain", "simulate", "--file", str(self.file.absolute()))
        self.supervisor.environment["CHAINTIDE_CHAINS"] = str(self.file.absolute())
        is_followed = False
        while True:
            if (named := self._named()) != last:
                if is_followed:
                    await self.supervisor.restart(CHAINS)
                else:
                    self.supervisor.add(CHAINS, "ingest", "--chain", NAME)
                    self.say(f"local chain in {self.file}")
                last, is_followed = named, True
            await asyncio.sleep(LOOK_S)

    def _named(self) -> str:
        return self.file.read_text("utf-8") if self.file.exists() else ""
