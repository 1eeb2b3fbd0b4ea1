"""The compiled contracts, as deployers and decoders need them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "artifacts"
NAMES: Final = (
    "AgriDAO",
    "AgriDAOFactory",
    "CredentialMarket",
    "CredentialTokenFactory",
    "GovernanceSlashing",
    "KnowledgeTokens",
    "MarketToken",
    "MockUsdc",
    "PersonaMarket",
    "PersonaTokenFactory",
    "ProduceRegistry",
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract: its interface and the code that deploys it."""

    abi: tuple[Mapping[str, Any], ...]
    bytecode: str


@cache
def artifact(name: str) -> Artifact:
    """Return one of our contracts by its name.

    >>> sorted(entry["name"] for entry in artifact("MockUsdc").abi if entry["type"] == "event")
    ['Approval', 'Transfer']
    """
    return decode_artifact((FOLDER / f"{name}.json").read_bytes())


def decode_artifact(content: bytes) -> Artifact:
    """Return what ``encode_artifact`` has written."""
    fields = json.loads(content)
    return Artifact(abi=tuple(fields["abi"]), bytecode=fields["bytecode"])


def encode_artifact(contract: Artifact) -> bytes:
    """Return the file of a contract, always the same for the same contract.

    >>> print(encode_artifact(Artifact(abi=(), bytecode="0x60")).decode().strip())
    {
     "abi": [],
     "bytecode": "0x60"
    }
    """
    fields = {"abi": contract.abi, "bytecode": contract.bytecode}
    return (json.dumps(fields, indent=1) + "\n").encode()
