"""The folder of what is fetched once for this machine's user."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache() -> Path:
    """Return the folder of everything that is fetched once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaintide"


@contextmanager
def filling(home: Path) -> Iterator[Path]:
    """Yield where to make a folder that becomes ``home`` when it is complete.

    Whoever else does the same meanwhile does no harm: the first one to be complete stays.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        draft = Path(scratch) / "draft"
        yield draft
        try:
            draft.rename(home)
        except OSError:
            if not home.is_dir():  # else somebody was faster
                raise
