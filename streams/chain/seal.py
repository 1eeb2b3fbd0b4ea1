"""The hash of a block from the fields of its header, which is the hash it has to go by."""

from collections.abc import Mapping
from typing import Final

from chaintide.streams.chain.keccak import keccak
from chaintide.streams.chain.rlp import joined, string

_FIELDS: Final = (
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot",
    "logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash",
    "nonce",
)  # fmt: skip
# Each fork has added to those before it: London, Shanghai, Cancun three, Prague.
_ADDED: Final = (
    "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot",
    "requestsHash",
)  # fmt: skip
_NUMBERS: Final = frozenset((
    "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed",
    "excessBlobGas",
))  # fmt: skip
_BESIDE: Final = ("hash", "size", "totalDifficulty", "transactions", "uncles", "withdrawals")
_KNOWN: Final = frozenset((*_FIELDS, *_ADDED, *_BESIDE))


def seal_of(told: Mapping[str, object]) -> str:
    """Return the hash of the header in a node's answer, "" if it is not of a form known here.

    The form is Ethereum's, from Frontier to Prague (Yellow Paper, 4.4.3; EIPs 1559, 4895, 4844,
    4788 and 7685). A chain, or a fork to come, that has other fields says so by naming them.

    >>> seal_of({"number": "0x7", "hash": "0x" + "07" * 32})
    ''

    Raises:
        ValueError: If a field is not hexadecimal.
    """
    if not _KNOWN.issuperset(told) or any(told.get(name) is None for name in _FIELDS):
        return ""
    added = [name for name in _ADDED if told.get(name) is not None]
    if tuple(added) != _ADDED[: len(added)]:
        return ""
    written = [string(_bytes(name, told[name])) for name in (*_FIELDS, *added)]
    return "0x" + keccak(joined(b"".join(written))).hex()


def _bytes(name: str, value: object) -> bytes:
    text = str(value)
    if not text.startswith("0x"):
        raise ValueError(f"{name} {text[:80]!r}")
    digits = text[2:]
    if name in _NUMBERS:
        digits = digits.lstrip("0")
        digits = digits if len(digits) % 2 == 0 else f"0{digits}"
    return bytes.fromhex(digits)
