"""What the system says of a process."""

from pathlib import Path


def is_alive(pid: int | None) -> bool:
    """Return whether the process runs; one that is dead but not reaped yet does not."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()
