"""What gone clients leave is collected when it is worth the pause, not again and again."""

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

LEAST: Final = 1_000
# Objects, and times the next younger generation was searched; the whole is searched by `Garbage`.
YOUNG: Final = 10_000
MIDDLE: Final = 20
SELDOM: Final = 100
NEVER: Final = 2**31 - 1


def seldom() -> AbstractContextManager[None]:
    """Search everything for garbage more seldom, for this block.

    With 1,000 markets that stops a server for 0.3 s, and of a follower that catches up it took an
    eighth of the time, as logs become many small objects.
    """
    return _threshold(SELDOM)


def keep() -> None:
    """Search what is here now for garbage once, and never again."""
    gc.collect()
    gc.freeze()


class Garbage:
    """Counts who is here and who has gone; a full collection stops everybody.

    With 10,000 clients one takes 0.4 s, and Python would begin one after the other while they
    connect. So it comes when as many have gone since the last as are here, at least 1,000.
    """

    def __init__(self) -> None:
        self.collections = 0
        self._here = 0
        self._gone = 0

    def collecting(self) -> AbstractContextManager[None]:
        """Be the only one to search everything, for this block."""
        return _threshold(NEVER)

    def on_here(self) -> None:
        """Count a client."""
        self._here += 1

    def on_gone(self) -> None:
        """Count it out, and collect if many have gone."""
        self._here -= 1
        self._gone += 1
        if self._gone >= max(LEAST, self._here):
            self._gone = 0
            self.collections += 1
            gc.collect()


@contextmanager
def _threshold(oldest: int) -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, MIDDLE, oldest)
    try:
        yield
    finally:
        gc.set_threshold(*before)
