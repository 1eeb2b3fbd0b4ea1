"""Compiles the contracts: ``python -m chaintide.contracts.build`` writes ``artifacts/``."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chaintide.contracts.artifacts import FOLDER, NAMES, Artifact, encode_artifact
from chaintide.contracts.npm import PLANS, installed, node

SOLC_VERSION: Final = "0.8.37"
_SOURCES: Final = Path(__file__).parent / "src"
_COMPILE_S: Final = 300.0
# Nothing in here depends on where or when it is compiled, so bytecode can be compared.
_SETTINGS: Final = {
    "evmVersion": "cancun",
    "optimizer": {"enabled": True, "runs": 200},
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}


class CompileError(Exception):
    """The compiler refuses a source or warns of something in it."""


def sources() -> dict[str, str]:
    """Return our Solidity files by their paths."""
    return {f"src/{path.name}": path.read_text() for path in sorted(_SOURCES.glob("*.sol"))}


def compiled(files: Mapping[str, str]) -> dict[str, Artifact]:
    """Return every contract in ``files`` by its name; imports may also name OpenZeppelin's.

    Raises:
        CompileError: If the compiler has anything to say.
        NpmError: If the compiler cannot be had.
    """
    modules = installed(PLANS / "solidity", f"solidity-{SOLC_VERSION}")
    task = {
        "language": "Solidity",
        "sources": {path: {"content": content} for path, content in files.items()},
        "settings": _SETTINGS,
    }
    answer = json.loads(_solc(modules, json.dumps(task)))
    if complaints := [each["formattedMessage"] for each in answer.get("errors", ())]:
        raise CompileError("\n".join(complaints))
    contracts = {name: found for path in files for name, found in answer["contracts"][path].items()}
    return {name: _artifact(found) for name, found in contracts.items()}


def main() -> None:
    """Write every artifact anew."""
    found = compiled(sources())
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        (FOLDER / f"{name}.json").write_bytes(encode_artifact(found[name]))


def _solc(modules: Path, task: str) -> str:
    command = [
        node(),
        str(modules / "solc/solc.js"),
        "--standard-json",
        "--base-path",
        str(modules),
    ]
    with tempfile.TemporaryFile("w+") as output:  # it leaves a pipe before all is through
        done = subprocess.run(  # noqa: S603  our own arguments
            command,
            input=task,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_COMPILE_S,
        )
        output.seek(0)
        _banner, brace, answer = output.read().partition("{")
    if done.returncode or not brace:
        raise CompileError(done.stderr or _banner)
    return brace + answer


def _artifact(found: Mapping[str, Any]) -> Artifact:
    return Artifact(abi=tuple(found["abi"]), bytecode="0x" + found["evm"]["bytecode"]["object"])


if __name__ == "__main__":
    main()
