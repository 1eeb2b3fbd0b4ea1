"""Messages recorded at the venues, kept beside the repository."""

from pathlib import Path

import pytest

VENUES = Path(__file__).resolve().parents[2] / "shared" / "data" / "venues"


def venue_file(name: str) -> bytes:
    """Return a recording, or skip the test that needs it."""
    path = VENUES / name
    if not path.exists():
        pytest.skip(f"no recording at {path}")
    return path.read_bytes()
