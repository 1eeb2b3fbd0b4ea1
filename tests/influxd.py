"""InfluxDB 2 for the tests, built once from its Go module and then cached.

``python tests/influxd.py`` builds it and prints where it is, or why it cannot be built.
"""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = "2.7.12"
PKG_CONFIG_VERSION = "0.2.7"
TOOLS = ("go", "rustc", "cargo", "clang", "protoc", "pkg-config")
ORG = "chaintide"
START_TIMEOUT_S = 60
_numbers = itertools.count()


class CannotBuildError(Exception):
    """This machine has no influxd and cannot build one; the message says why."""


def find_or_build() -> Path:
    """Return the cached ``influxd``, building it first if need be: 4 to 6 minutes, once.

    Raises:
        CannotBuildError: If a tool is missing or the build fails.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    binary = cache / "chaintide" / f"influxd-{VERSION}" / "influxd"
    if binary.exists():
        return binary
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise CannotBuildError(f"influxd {VERSION} cannot be built without {', '.join(missing)}")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (binary.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in other processes wait for this build
        if not binary.exists():
            with tempfile.TemporaryDirectory() as scratch:
                built = _build(Path(scratch))
                arriving = binary.with_suffix(".new")
                shutil.copy2(built, arriving)
                arriving.replace(binary)
    return binary


def _build(scratch: Path) -> Path:
    bin_dir = scratch / "bin"
    bin_dir.mkdir()
    # The Rust half of influxd was written for an older compiler, and denies its warnings.
    wrapper = bin_dir / "rustc-wrapper"
    wrapper.write_text('#!/bin/sh\nexec "$@" --cap-lints warn\n')
    wrapper.chmod(0o755)
    env = os.environ | {
        "GOBIN": str(bin_dir),
        "PATH": f"{bin_dir}:{os.environ['PATH']}",
        "RUSTC_WRAPPER": str(wrapper),
    }
    if shutil.which("rustup"):
        shown = subprocess.run(
            ["rustup", "show", "active-toolchain"], capture_output=True, text=True, check=False
        )
        env["RUSTUP_TOOLCHAIN"] = shown.stdout.split(" ")[0] or "stable"
    influxd = "github.com/influxdata/influxdb/v2/cmd/influxd"
    for command in (
        ["go", "mod", "init", "scratch"],
        ["go", "get", f"{influxd}@v{VERSION}"],
        ["go", "install", f"github.com/influxdata/pkg-config@v{PKG_CONFIG_VERSION}"],
        ["go", "install", "-tags", "sqlite_foreign_keys,sqlite_json", influxd],
    ):
        done = subprocess.run(
            command, cwd=scratch, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CannotBuildError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return bin_dir / "influxd"


@dataclass
class Influxd:
    """A running InfluxDB: ours when it has a ``binary``, somebody else's otherwise."""

    url: str
    token: str = "test-token"
    org: str = ORG
    binary: Path | None = None
    data_dir: Path = Path()
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it on the port of ``url`` and wait until it answers."""
        assert self.binary is not None
        self._process = subprocess.Popen(
            [
                self.binary,
                f"--http-bind-address={self.url.removeprefix('http://')}",
                f"--bolt-path={self.data_dir / 'influxd.bolt'}",
                f"--sqlite-path={self.data_dir / 'influxd.sqlite'}",
                f"--engine-path={self.data_dir / 'engine'}",
                "--reporting-disabled",
                "--log-level=error",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.call("GET", "/health")
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise RuntimeError("influxd did not start")

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it with SIGTERM."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Make it hang: connections are taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def new_bucket(self) -> str:
        """Return the name of a new, empty bucket."""
        name = f"test-{os.getpid()}-{next(_numbers)}"
        orgs = self.call("GET", f"/api/v2/orgs?org={self.org}")["orgs"]
        self.call("POST", "/api/v2/buckets", {"orgID": orgs[0]["id"], "name": name})
        return name

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the decoded answer of one API request."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read() or b"null")

    def _end(self, signal_number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(30)
            self._process = None


def start_new(data_dir: Path) -> Influxd:
    """Return a fresh InfluxDB on a free loopback port, with an organisation and a token.

    Raises:
        CannotBuildError: If there is no ``influxd`` to start.
    """
    binary = find_or_build()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Influxd(f"http://127.0.0.1:{port}", binary=binary, data_dir=data_dir)
    server.start()
    setup = {"username": "test", "password": "test-password", "bucket": "candles"}
    server.call("POST", "/api/v2/setup", setup | {"org": server.org, "token": server.token})
    return server


if __name__ == "__main__":
    try:
        print(find_or_build())  # noqa: T201
    except CannotBuildError as error:
        raise SystemExit(str(error)) from error
