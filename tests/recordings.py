"""Messages recorded at the venues, kept beside the repository."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def recording(name: str) -> Path:
    """Return the path of a recording, or skip the test that needs it."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no recording at {path}")
    return path


def venue_file(name: str) -> bytes:
    """Return a venue's message as received."""
    return recording(f"venues/{name}").read_bytes()
