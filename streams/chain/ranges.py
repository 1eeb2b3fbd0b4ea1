"""The past of a chain in ranges: as large as its nodes allow, in parallel, given out in order."""

import re
from typing import Final, Generic, TypeVar

import msgspec

_T = TypeVar("_T")
LARGEST: Final = 10_000
_GROW_AFTER: Final = 4
# How nodes and providers say that a range is too large: each its own way, so by what they share.
_TOO_MANY: Final = re.compile(
    r"""
    more\ than\ [\d,_]+\ (results|logs|events)
    | \btoo\ (many|large|wide|big|long)\b
    | \b(max|maximum|limit|limited|exceeds?|exceeded|over|greater|smaller|at\ most|up\ to)\b
      .*\b(ranges?|blocks?|results|logs|size|filter)\b
    | \b(ranges?|blocks?|results|logs|size|query)\b
      .*\b(max|maximum|limit|limited|exceeds?|exceeded|over|greater|smaller|should\ work)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TOO_OFTEN: Final = re.compile(
    r"rate|too many (requests|connections)|requests? per|(request|daily|monthly) (limit|quota)"
    r"|quota|compute units|capacity|throttl|credits|gas",
    re.IGNORECASE,
)


def is_too_large(message: str) -> bool:
    """Return whether an error says that fewer blocks have to be asked for at once.

    >>> is_too_large("query returned more than 10000 results")
    True
    >>> is_too_large("execution reverted"), is_too_large("exceeded the rate limit")
    (False, False)
    """
    return _TOO_MANY.search(message) is not None and _TOO_OFTEN.search(message) is None


class Range(msgspec.Struct, frozen=True, order=True):
    """Blocks ``first`` to ``last``, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


class Ranges(Generic[_T]):
    """Cuts ``first`` to ``last`` into ranges and gives their results out in order.

    Ranges are halved when a node says that one is too large, and double again after four that
    were not. At most ``parallel`` are out or wait for an earlier one.
    """

    def __init__(self, first: int, last: int, *, size: int = 1_000, parallel: int = 4) -> None:
        self.size = size
        self._next = first
        self._last = last
        self._emitted = first - 1
        self._parallel = parallel
        self._again: list[Range] = []
        self._out = 0
        self._good = 0
        self._results: dict[int, tuple[Range, _T]] = {}

    @property
    def is_done(self) -> bool:
        """Return whether every result was given out."""
        return self._emitted >= self._last

    def take(self) -> Range | None:
        """Return a range to ask for, None while enough are out."""
        if self._again:
            self._again.sort()
            if self._out + len(self._results) < self._parallel or not self._out:
                self._out += 1
                return self._again.pop(0)
            return None
        if self._next > self._last or self._out + len(self._results) >= self._parallel:
            return None
        taken = Range(self._next, min(self._last, self._next + self.size - 1))
        self._next = taken.last + 1
        self._out += 1
        return taken

    def on_too_large(self, asked: Range) -> bool:
        """Halve ``asked``, and what is asked later; False if it is one block already."""
        self._out -= 1
        self._good = 0
        half = max(1, len(asked) // 2)
        self.size = min(self.size, half)
        if len(asked) == 1:
            self._again.append(asked)
            return False
        middle = asked.first + half
        self._again += [Range(asked.first, middle - 1), Range(middle, asked.last)]
        return True

    def on_result(self, asked: Range, result: _T) -> list[tuple[Range, _T]]:
        """Return every result that is next in order now."""
        self._out -= 1
        self._good += 1
        if self._good >= _GROW_AFTER:
            self.size, self._good = min(LARGEST, self.size * 2), 0
        self._results[asked.first] = (asked, result)
        ready: list[tuple[Range, _T]] = []
        while (following := self._results.pop(self._emitted + 1, None)) is not None:
            ready.append(following)
            self._emitted = following[0].last
        return ready
