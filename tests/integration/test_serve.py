"""``chaintide serve`` as a process: alive without Kafka, honest about it, and easy to end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from answers import answer

PROGRAM = [sys.executable, "-m", "chaintide.api.cli", "serve"]


def environment(folder: Path) -> dict[str, str]:
    nowhere = {"CHAINTIDE_KAFKA": "127.0.0.1:1", "CHAINTIDE_DATA_DIR": str(folder)}
    return {**os.environ, **nowhere, "CHAINTIDE_LOG_LEVEL": "debug"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [*PROGRAM, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(tmp_path),
        )
        yield running
        running.kill()
        running.communicate()


@pytest.mark.timeout(120)
def test_without_kafka_it_lives_says_so_and_ends_in_order(
    process: subprocess.Popen[str], tmp_path: Path
):
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert found is not None
    assert answer(f"{found[0]}/healthz") == (200, {"status": "ok"})
    status, ready = answer(f"{found[0]}/readyz")
    amiss = {check["name"] for check in ready["checks"] if not check["is_ok"]}
    assert (status, ready["status"]) == (503, "unready")
    assert {"kafka", "follower"} <= amiss
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    assert process.returncode == 0
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if "request_id" in line]
    told = [json.loads(line) for line in lines]
    assert [(row["path"], row["status"]) for row in told] == [("/healthz", 200), ("/readyz", 503)]
    assert all(row["level"] in {"debug", "info"} and row["timestamp"] for row in told)


def test_a_port_that_is_taken_is_named_in_one_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*PROGRAM, "--port", port],
            capture_output=True,
            text=True,
            check=False,
            env=environment(tmp_path),
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert done.stderr.count("\n") == 1
