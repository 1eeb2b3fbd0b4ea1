"""A local chain: the real anvil, from npm, nothing to install or configure."""

import json
import platform
import re
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, Protocol

from chaintide.contracts.npm import PLANS, NpmError, installed

ANVIL_VERSION: Final = "1.7.1"
_CPUS: Final = {"x86_64": "amd64", "amd64": "amd64", "arm64": "arm64", "aarch64": "arm64"}
_SYSTEMS: Final = {"linux": "linux", "darwin": "darwin", "win32": "win32"}
_START_S: Final = 30.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.02
_REPLY_S: Final = 60.0
_LISTENING: Final = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")


class AnvilError(Exception):
    """The local chain cannot be started or has gone; the message says what anvil said."""


class RpcError(Exception):
    """The chain refuses a request; ``data`` is what a contract reverted with, if one did."""

    def __init__(self, code: int, message: str, data: str) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Process(Protocol):
    """A running program that ends with us."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        ...

    def stop(self, timeout_s: float) -> None:
        """End it."""
        ...


class Launcher(Protocol):
    """Starts programs that end with us, such as ``streams.child.Child``."""

    def __call__(self, command: Sequence[str], *, output: Path) -> Process:
        """Start ``command``; what it says goes to ``output``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnvilOptions:
    """How the chain runs: by default each transaction is a block and finality is 8 blocks deep.

    ``block_time_s`` makes a block so often, ``is_mining=False`` only when asked to, and final is
    what is two epochs old. Without a ``port`` anvil chooses one. With ``start_s``, the time of the
    first block, two chains that are asked the same are the same.
    """

    is_mining: bool = True
    block_time_s: float | None = None
    slots_in_an_epoch: int = 4
    chain_id: int = 31_337
    port: int = 0
    start_s: int | None = None

    def arguments(self) -> list[str]:
        """Return what anvil has to be told.

        >>> AnvilOptions(is_mining=False).arguments()[-1]
        '--no-mining'
        """
        chosen = ["--host", "127.0.0.1", "--port", str(self.port)]
        chosen += ["--chain-id", str(self.chain_id), "--hardfork", "cancun", "--order", "fifo"]
        chosen += ["--gas-limit", "1000000000"]  # as many transactions as anybody likes
        chosen += ["--slots-in-an-epoch", str(self.slots_in_an_epoch)]
        if self.start_s is not None:
            chosen += ["--timestamp", str(self.start_s)]
        if self.block_time_s is not None:
            chosen += ["--block-time", str(self.block_time_s)]
        return chosen if self.is_mining else [*chosen, "--no-mining"]


class Anvil:
    """A chain in a process of its own; it forgets everything when it stops."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_REPLY_S)
        self._requests = 0
        self.url = f"http://127.0.0.1:{port}"

    @property
    def is_running(self) -> bool:
        """Whether the chain has not ended yet."""
        return self._process.is_running

    def rpc(self, method: str, params: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - JSON
        """Return the result of one JSON-RPC request.

        Raises:
            RpcError: If the chain refuses it.
            AnvilError: If the chain does not answer.
        """
        self._requests += 1
        request = {"jsonrpc": "2.0", "id": self._requests, "method": method, "params": [*params]}
        try:
            reply = self._reply(json.dumps(request))
        except (OSError, HTTPException, ValueError) as error:
            self._connection.close()  # or the next request would read this one's answer
            raise AnvilError(f"{self.url} does not answer {method}: {error}") from error
        if refusal := reply.get("error"):
            data = refusal.get("data")
            said = data if isinstance(data, str) else ""
            raise RpcError(refusal["code"], refusal["message"], said)
        return reply["result"]

    def stop(self) -> None:
        """End the chain; repeatable."""
        self._connection.close()
        self._process.stop(_STOP_S)

    def _reply(self, request: str) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/", request, headers)
        with closing(self._connection.getresponse()) as response:
            reply: dict[str, Any] = json.loads(response.read())
        return reply


def start_anvil(launch: Launcher, log: Path, options: AnvilOptions | None = None) -> Anvil:
    """Return a chain that answers; the first call ever downloads anvil (15 MB).

    Raises:
        NpmError: If anvil cannot be had.
        AnvilError: If it does not start, for example because its port is taken.
    """
    arguments = (options or AnvilOptions()).arguments()
    process = launch([str(program()), *arguments], output=log)
    try:
        return Anvil(process, _await_port(process, log))
    except BaseException:  # interrupted, too, it leaves no process behind
        process.stop(_STOP_S)
        raise


def program() -> Path:
    """Return the path of anvil.

    Raises:
        NpmError: If it cannot be downloaded, or there is none for this kind of machine.
    """
    kind = f"{_SYSTEMS.get(sys.platform)}-{_CPUS.get(platform.machine().lower())}"
    name = "anvil.exe" if sys.platform == "win32" else "anvil"
    modules = installed(PLANS / "anvil", f"anvil-{ANVIL_VERSION}")
    path = modules / f"@foundry-rs/anvil-{kind}" / "bin" / name
    if not path.exists():
        raise NpmError(
            f"npm has brought no anvil for {platform.system()} on {platform.machine()}: there is "
            f"one for Linux, macOS and Windows; delete {modules.parent} to try again"
        )
    return path


def _await_port(process: Process, log: Path) -> int:
    """Return where anvil listens, which it says as soon as it does."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        is_running = process.is_running  # before reading: its last words count
        said = log.read_text(errors="replace")
        if found := _LISTENING.search(said):
            return int(found[1])
        if not is_running:
            raise AnvilError(f"anvil did not start: {said.strip()[-2000:]}")
        time.sleep(_POLL_S)
    raise AnvilError(f"anvil is not up after {_START_S:.0f} s, see {log}")
