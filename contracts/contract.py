"""A contract at an address of a chain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol

from chaintide.contracts.artifacts import artifact
from chaintide.contracts.interface import Interface

GAS: Final = 5_000_000  # enough for all we do; estimating would need a call before each transaction


class Rpc(Protocol):
    """Asks a chain, such as ``Anvil.rpc``."""

    def __call__(self, method: str, params: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - JSON
        """Return the result of one JSON-RPC request."""
        ...


@dataclass(frozen=True, slots=True)
class Contract:
    """Where a contract is and what it understands."""

    address: str
    interface: Interface

    def read(self, rpc: Rpc, function: str, *arguments: object) -> Any:  # noqa: ANN401 - see ABI
        """Return what ``function`` answers at the head."""
        asked = {"to": self.address, "data": self.interface.call(function, *arguments)}
        return self.interface.result(function, rpc("eth_call", [asked, "latest"]))

    def transaction(self, sender: str, function: str, *arguments: object) -> Mapping[str, str]:
        """Return the transaction in which ``sender`` calls ``function``."""
        return {
            "from": sender,
            "to": self.address,
            "gas": hex(GAS),
            "data": self.interface.call(function, *arguments),
        }


def contract_at(name: str, address: str) -> Contract:
    """Return one of our contracts, deployed at ``address``."""
    return Contract(address, interface_of(name))


@cache
def interface_of(name: str) -> Interface:
    """Return what one of our contracts understands and says."""
    return Interface(artifact(name).abi)


def deployment(name: str, sender: str, *arguments: object) -> Mapping[str, str]:
    """Return the transaction in which ``sender`` deploys one of our contracts."""
    code = interface_of(name).deployment(artifact(name).bytecode, *arguments)
    return {"from": sender, "gas": hex(GAS), "data": code}
