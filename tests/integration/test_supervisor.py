"""Processes that are kept running: started again, in ever longer pauses, and stopped together."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from processes import is_alive

from chaintide.api.supervisor import BACKOFF_S, STEADY_S, Role, Supervisor

SAY_AND_WAIT = 'echo "$0 $GREETING"; trap "echo asked; exit 0" TERM; while :; do sleep 0.1; done'


def test_pauses_grow_to_the_longest_one():
    role, pauses = Role("worker-1", ()), []
    for life in range(8):
        role.started_s = 100.0 * life
        role.note_end(now_s=role.started_s + 1)
        pauses.append(role.retry_s - role.started_s - 1)
    assert pauses == [*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0, "the first time there is no reason to wait"


def test_a_steady_life_makes_the_supervisor_forget():
    role = Role("worker-1", ())
    for _ in range(5):
        role.note_end(now_s=1)
    assert role.retry_s - 1 == BACKOFF_S[4]
    role.note_end(now_s=STEADY_S + 1)
    assert (role.failures, role.retry_s) == (1, STEADY_S + 1 + BACKOFF_S[0])


def test_a_life_not_quite_steady_does_not():
    role = Role("worker-1", (), failures=2)
    role.note_end(now_s=STEADY_S)
    assert role.failures == 3


@asynccontextmanager
async def supervised(
    home: Path, script: str, report: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Supervisor]:
    """A supervisor at work, whose program is a shell script."""
    supervisor = Supervisor(home, {"GREETING": "hello"}, None, ("/bin/sh", "-c", script))
    watching = asyncio.create_task(supervisor.watch(report))
    try:
        yield supervisor
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await supervisor.stop()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  processes tell nothing
            await asyncio.sleep(0.05)


def pid_of(supervisor: Supervisor) -> int | None:
    [role] = supervisor.roles
    return role.child.pid if role.child is not None else None


async def test_a_killed_role_is_started_again_and_the_log_before_is_kept(tmp_path: Path):
    log, previous = tmp_path / "worker-1.log", tmp_path / "worker-1.previous.log"
    said: list[str] = []
    async with supervised(tmp_path, SAY_AND_WAIT, said.append) as supervisor:
        supervisor.add("worker-1", "first")
        await until(lambda: log.read_text() == "first hello\n")
        first = pid_of(supervisor)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: pid_of(supervisor) not in {None, first})
        second = pid_of(supervisor)
        await until(lambda: log.read_text() == "first hello\n")
        assert supervisor.roles[0].is_running
        assert previous.read_text() == "first hello\n"
        assert said == [f"worker-1 ended, see {log}; starting it again"]
    assert not is_alive(first)
    assert not is_alive(second)
    assert log.read_text() == "first hello\nasked\n", "it was asked to end before it was made to"


async def test_a_role_that_cannot_live_is_started_after_each_pause_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chaintide.api.supervisor.CHECK_S", 0.02)
    lives: list[tuple[float, float]] = []

    def note(_report: str) -> None:
        [role] = supervisor.roles
        lives.append((role.started_s, role.retry_s))

    async with supervised(tmp_path, "exit 3", note) as supervisor:
        supervisor.add("worker-1", "x")
        await until(lambda: len(lives) == 4)
    for pause_s, (_, retry_s), (started_s, _) in zip(BACKOFF_S, lives, lives[1:], strict=False):
        assert started_s >= retry_s
        assert started_s - lives[0][0] >= pause_s


async def test_roles_are_kept_apart(tmp_path: Path):
    async with supervised(tmp_path, SAY_AND_WAIT) as supervisor:
        for name in ("a", "b"):
            supervisor.add(name, name)
        await until(lambda: all((tmp_path / f"{n}.log").read_text() for n in "ab"))
        a, b = supervisor.roles
        pids = [role.child.pid for role in (a, b) if role.child is not None]
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: a.failures == 1 and a.is_running)
        assert (b.failures, b.child is not None and b.child.pid) == (0, pids[1])


@pytest.mark.parametrize("script", ["trap '' TERM; echo up; while :; do sleep 0.1; done"])
async def test_a_role_that_will_not_end_is_made_to(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chaintide.api.supervisor.STOP_S", 0.3)
    async with supervised(tmp_path, script) as supervisor:
        supervisor.add("worker-1", "x")
        await until(lambda: (tmp_path / "worker-1.log").read_text() == "up\n")
        pid = pid_of(supervisor)
    assert not is_alive(pid)
