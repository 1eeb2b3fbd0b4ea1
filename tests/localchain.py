"""Contracts on a real EVM for the tests: each test gets the chain as it was deployed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from chaintide.contracts.anvil import Anvil, AnvilOptions, RpcError, start_anvil
from chaintide.contracts.artifacts import NAMES, artifact
from chaintide.contracts.contract import GAS, Contract, contract_at, deployment
from chaintide.contracts.interface import Interface, Said
from chaintide.contracts.npm import NpmError
from chaintide.streams.child import Child

START_S = 1_800_000_000
FOREVER = 2**64
_SOLIDITY = [
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
    {"type": "error", "name": "Error", "inputs": [{"name": "reason", "type": "string"}]},
]
_ERRORS = Interface([*_SOLIDITY, *(entry for name in NAMES for entry in artifact(name).abi)])


class RevertedError(Exception):
    """A contract refused, with one of its errors."""

    def __init__(self, said: Said) -> None:
        super().__init__(f"{said.name}({', '.join(map(str, said.arguments.values()))})")
        self.said = said


def account(number: int) -> str:
    """An address of one of the tests' people."""
    return f"0x{0xA11CE000 + number:040x}"


@dataclass
class LocalChain:
    """A chain where every transaction is a block, and the time is what the test says."""

    anvil: Anvil
    contracts: dict[str, Contract] = field(default_factory=dict)
    _snapshot: str = ""

    def deploy(self, name: str, *arguments: object, sender: str = account(0)) -> Contract:
        receipt = self._mined(deployment(name, sender, *arguments))
        return self._known(contract_at(name, receipt["contractAddress"]))

    def deploy_code(self, abi: Any, bytecode: str, *arguments: object) -> Contract:
        interface = Interface(abi)
        code = interface.deployment(bytecode, *arguments)
        receipt = self._mined({"from": account(0), "gas": hex(GAS), "data": code})
        return self._known(Contract(receipt["contractAddress"], interface))

    def at(self, name: str, address: str) -> Contract:
        return self._known(contract_at(name, address))

    def act(self, sender: str, to: Contract, function: str, *arguments: object) -> list[Said]:
        """What all of our contracts said in one transaction; RevertedError if it is refused."""
        transaction = to.transaction(sender, function, *arguments)
        try:
            self.anvil.rpc("eth_call", [transaction, "latest"])
        except RpcError as error:
            raise _reverted(error) from None
        return [self._said(log) for log in self._mined(transaction)["logs"]]

    def read(self, of: Contract, function: str, *arguments: object) -> Any:
        try:
            return of.read(self.anvil.rpc, function, *arguments)
        except RpcError as error:
            raise _reverted(error) from None

    def now_s(self) -> int:
        return int(self.anvil.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)

    def pass_time(self, seconds: int) -> None:
        self.pass_until(self.now_s() + seconds)

    def pass_until(self, time_s: int) -> None:
        self.next_block_at(time_s)
        self.anvil.rpc("evm_mine")

    def next_block_at(self, time_s: int) -> None:
        self.anvil.rpc("evm_setNextBlockTimestamp", [hex(time_s)])

    def remember(self) -> Self:
        self._snapshot = self.anvil.rpc("evm_snapshot")
        return self

    def rewind(self) -> Self:
        assert self.anvil.rpc("evm_revert", [self._snapshot])
        return self.remember()

    def _known(self, contract: Contract) -> Contract:
        self.contracts[contract.address.lower()] = contract
        return contract

    def _mined(self, transaction: Any) -> Any:
        digest = self.anvil.rpc("eth_sendTransaction", [transaction])
        self.anvil.rpc("evm_mine")  # by itself the chain would mine after it has answered
        receipt = self.anvil.rpc("eth_getTransactionReceipt", [digest])
        assert receipt["status"] == "0x1", receipt
        return receipt

    def _said(self, log: Any) -> Said:
        interface = self.contracts[log["address"].lower()].interface
        said = interface.log(log["topics"], log["data"])
        assert said is not None, log
        return said


def _reverted(error: RpcError) -> Exception:
    said = _ERRORS.error(error.data) if error.data else None
    return error if said is None else RevertedError(said)


@contextmanager
def running_chain(people: int = 8) -> Iterator[LocalChain]:
    """A chain of its own, on which ``people`` can pay for gas."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            options = AnvilOptions(is_mining=False, start_s=START_S)
            anvil = start_anvil(Child, Path(folder) / "anvil.log", options)
        except NpmError as error:
            pytest.skip(str(error))
        try:
            anvil.rpc("anvil_setBlockTimestampInterval", [1])
            anvil.rpc("anvil_autoImpersonateAccount", [True])
            for number in range(people):
                anvil.rpc("anvil_setBalance", [account(number), hex(10**24)])
            yield LocalChain(anvil)
        finally:
            anvil.stop()


@contextmanager
def refused(name: str, **arguments: object) -> Iterator[None]:
    """Expect that a contract refuses what happens inside with this error."""
    with pytest.raises(RevertedError) as caught:
        yield
    said = caught.value.said
    assert (said.name, dict(said.arguments)) == (name, arguments or dict(said.arguments))


@contextmanager
def perhaps_refused(*names: str) -> Iterator[None]:
    """Stop what happens inside where a contract refuses it with one of these errors."""
    try:
        yield
    except RevertedError as error:
        if error.said.name not in names:
            raise
