"""The main job as a person starts it: everything on one machine, against the simulated exchange."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from answers import answer
from eth_hash.auto import keccak

from chaintide.api.running import found
from chaintide.contracts.anvil import program
from chaintide.contracts.npm import NpmError

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def chaintide(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chaintide.api.cli", *arguments]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ("up", "--demo", "--http-port", "0", "--data-dir", str(tmp_path / "data"))
    process = subprocess.Popen(chaintide(*arguments), stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def has_anvil() -> bool:
    try:
        program()
    except NpmError:
        return False
    return True


def until(process: subprocess.Popen[str], pattern: str) -> str:
    """Read what the program prints until it says ``pattern``; pytest's limit is the deadline."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(pattern, line):
            return found[0]
    raise AssertionError(f"ended without saying {pattern}")


def until_ready(api: str, *checks: str) -> dict[str, Any]:
    """Ask until all is well and ``checks`` are looked at; pytest's limit is the deadline."""
    while True:
        with suppress(urllib.error.URLError):
            status, ready = answer(f"{api}/readyz")
            names = {check["name"] for check in ready["checks"]}
            if (status, ready["status"]) == (200, "ready") and names >= {*checks}:
                return ready
        time.sleep(0.2)


def until_traded(api: str, markets: list[str]) -> None:
    """Ask until every market has a candle in which somebody traded."""
    for market in markets:
        while True:
            status, page = answer(f"{api}/v1/candles?market={market}&limit=1")
            if status == 200 and any(candle["trades"] for candle in page["candles"]):
                break
            time.sleep(0.2)


def chain_markets(home: Path) -> list[str]:
    """The busiest credential and persona market of the demo's chain."""
    [chain] = json.loads((home / "chain/chains.json").read_text())["chains"]
    addresses = {contract["kind"]: contract["address"].lower() for contract in chain["contracts"]}
    titles = {"credential-market": b"Master Welder", "persona-market": b"Ada the Tutor"}
    return [
        f"{chain['id']}:{addresses[kind]}/0x{keccak(title).hex()}" for kind, title in titles.items()
    ]


def assert_found(home: Path) -> None:
    """Commands find the demo without being told where it is, and its markets by what is shown."""
    names = ["kraken:BTC-USD", *(["local:RUST-USDC"] if has_anvil() else [])]
    for arguments in [("doctor",), *(("candles", name) for name in names)]:
        while True:  # a sink may be behind what a server says; pytest's limit is the deadline
            command = chaintide(*arguments)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert f"data {home}" in done.stderr
            if done.returncode == 0:
                break


@pytest.mark.timeout(180)
def test_the_demo_shows_candles_forming_says_how_it_is_and_ends_cleanly(
    demo: subprocess.Popen[str], tmp_path: Path
):
    started = time.monotonic()
    api = until(demo, r"http://127\.0\.0\.1:\d+(?=/v1)")
    until(demo, r"kraken:BTC-USD [\d.]+ \(\d+ trades\)")
    print(f"first candle after {time.monotonic() - started:.1f} s")  # noqa: T201
    if has_anvil():
        ready = until_ready(api, "feed:kraken", "feed:31337")
        until_traded(api, chain_markets(tmp_path / "data"))
        print(f"first chain candles after {time.monotonic() - started:.1f} s")  # noqa: T201
    else:
        ready = until_ready(api, "feed:kraken")
    looked_at = {check["name"] for check in ready["checks"]} - {"feed:31337"}
    assert looked_at == {"kafka", "store", "follower", "worker", "sink", "feed:kraken"}
    status, page = answer(f"{api}/v1/candles?market=kraken:BTC-USD&limit=1")
    assert (status, len(page["candles"])) == (200, 1)
    watching = ("--url", f"{api.replace('http', 'ws')}/ws/v1")
    unknown = subprocess.run(
        chaintide("watch", "kraken:NO-USD", *watching), capture_output=True, text=True, check=False
    )
    assert unknown.returncode == 1
    assert "no market kraken:NO-USD" in unknown.stderr
    assert "the nearest: " in unknown.stderr, "names some there are"
    assert_found(tmp_path / "data")
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 0
    listing = chaintide("candles", "kraken:BTC-USD", "--data-dir", str(tmp_path / "data"))
    done = subprocess.run([*listing, "--format", "json"], capture_output=True, check=True)
    candles = json.loads(done.stdout)
    assert candles
    assert not candles[0]["complete"], "the first minute began before we did"
    assert found() == []
