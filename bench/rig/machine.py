"""Cores and processes: who runs where, and what it used."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).parent.parent
CORES = sorted(os.sched_getaffinity(0))
WORKER_CORE = CORES[-1]
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def leave_worker_core() -> None:
    """Keep this process, and what it starts, off the core of the program that is measured."""
    os.sched_setaffinity(0, set(CORES[:-1]) or set(CORES))


@contextmanager
def pinned(program: str, *arguments: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``bench/peers/<program>.py`` on the worker core alone; end it on the way out."""
    command = [sys.executable, str(BENCH / "peers" / f"{program}.py"), *arguments]
    with running(program, command, cwd=cwd) as child:
        yield child


@contextmanager
def running(name: str, command: list[str], *, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` on the worker core alone, its output in a file; end it on the way out."""
    with (cwd / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            ["taskset", "-c", str(WORKER_CORE), *command],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(BENCH)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            yield child
            if child.poll() is not None and child.returncode:
                raise SystemExit((cwd / f"{name}.log").read_text())
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def cpu_s(pid: int) -> float:
    """Return the processor time that a running process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def rss_bytes(pid: int | None = None) -> int:
    """Return the memory of a process, of this one if none is named, that is in RAM."""
    pages = Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
