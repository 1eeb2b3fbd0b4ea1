"""Commands find what runs here, and nothing that has died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaintide.api import running
from chaintide.api.running import Running, announced, found
from chaintide.api.terminal import settings_in_use

DEMO = Running(
    url="http://127.0.0.1:8399",
    kafka="127.0.0.1:9",
    data_dir="/somewhere/demo",
    is_demo=True,
    settings={"kraken_rest_url": "http://127.0.0.1:1"},
)
LIVE_ON = """
from chaintide.api.running import Running, announced
with announced(Running(url="u", kafka="k", data_dir="d", is_demo=False)):
    print("here", flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("CHAINTIDE_DATA_DIR", "CHAINTIDE_KAFKA"):
        monkeypatch.delenv(name, raising=False)
    return running.home()


def start() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE_ON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def test_what_runs_is_found_for_as_long_as_it_does(home: Path):
    assert found() == []
    with announced(DEMO):
        assert found() == found() == [DEMO]
    assert found() == []
    assert list(home.iterdir()) == []


def test_what_was_killed_is_not_found_and_its_file_is_removed(home: Path):
    with start() as process:
        assert [one.url for one in found()] == ["u"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list(home.iterdir()) == [home / f"{process.pid}.json"]
        assert found() == []
        assert list(home.iterdir()) == []


def test_of_several_the_newest_comes_first(home: Path):
    with start() as process, announced(DEMO):
        os.utime(home / f"{process.pid}.json", (1, 1))
        assert [one.url for one in found()] == [DEMO.url, "u"]
        process.communicate("\n")
        assert process.returncode == 0
        assert found() == [DEMO]


def test_a_home_that_cannot_be_written_to_is_no_reason_not_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with announced(DEMO):
        assert found() == []


def test_a_command_uses_what_runs_and_says_so(capsys: pytest.CaptureFixture[str]):
    with announced(DEMO):
        settings, whose = settings_in_use(None)
        assert (settings.data_dir, whose) == (Path("/somewhere/demo"), DEMO)
        assert settings.kraken_rest_url == "http://127.0.0.1:1"
        assert running.socket_url() == "ws://127.0.0.1:8399/ws/v1"
    said = " ".join(capsys.readouterr().err.split())
    assert "using the demo that runs at http://127.0.0.1:8399/, data /somewhere/demo" in said
    settings, whose = settings_in_use(None)
    assert (settings.data_dir, whose) == (Path("data"), None)
    assert running.socket_url() == "ws://127.0.0.1:8321/ws/v1"


@pytest.mark.parametrize("variable", ["CHAINTIDE_DATA_DIR", "CHAINTIDE_KAFKA"])
def test_what_a_person_chose_goes_before_what_runs(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with announced(DEMO):
        settings, whose = settings_in_use(tmp_path)
        assert (settings.data_dir, whose) == (tmp_path, None)
        monkeypatch.setenv(variable, "chosen:1")
        assert settings_in_use(None)[1] is None
