"""What runs on this machine, written down where other commands of its user look for it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """One ``chaintide up``: where it answers, where its data is, what else it was set to."""

    url: str
    kafka: str
    data_dir: str
    is_demo: bool
    settings: dict[str, str] = {}

    def __str__(self) -> str:
        kind = "the demo that runs" if self.is_demo else "chaintide up that runs"
        return f"{kind} at {self.url}/, data {self.data_dir}"


def home() -> Path:
    """Return the folder in which every running ``chaintide up`` has a file."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "chaintide" / "running"


@contextmanager
def announced(running: Running) -> Iterator[None]:
    """Let others find ``running`` during this block.

    Its file is locked for as long as this process lives, however that ends. A folder that cannot
    be written to is no reason not to run.
    """
    place = home() / f"{os.getpid()}.json"
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = place.with_suffix(".new").open("wb")
    except OSError:
        yield
        return
    with file:
        _publish(file, running, place)
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def found() -> list[Running]:
    """Return all that run now, the newest first; what the dead have left is removed."""
    files = sorted(home().glob("*.json"), key=_changed, reverse=True)
    return [running for file in files if (running := _read(file)) is not None]


def socket_url() -> str:
    """Return the WebSocket of the newest that runs, or where the next one will have it."""
    everything = found()
    url = everything[0].url if everything else "http://127.0.0.1:8321"
    return url.replace("http", "ws", 1) + "/ws/v1"


def _publish(file: BinaryIO, running: Running, place: Path) -> None:
    """Show the file only once it is locked and complete."""
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(msgspec.json.encode(running))
    file.flush()
    Path(file.name).replace(place)


def _read(place: Path) -> Running | None:
    try:
        with place.open("rb") as file:
            if _is_free(file):
                place.unlink(missing_ok=True)
                return None
            return msgspec.json.decode(file.read(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def _is_free(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _changed(file: Path) -> float:
    with suppress(OSError):
        return file.stat().st_mtime
    return 0.0
