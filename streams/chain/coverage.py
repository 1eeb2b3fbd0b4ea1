"""Which blocks of which contracts are written: what has been watched, and the history before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from chaintide.streams.chain.ranges import Range


@dataclass(slots=True)
class Coverage:
    """For each contract the first block from which on all is written, and spans before it.

    >>> coverage = Coverage({"0xaa": 100})
    >>> coverage.add("0xaa", 10, 19)
    >>> coverage.missing("0xaa", 5, 120)
    [Range(first=5, last=9), Range(first=20, last=99)]
    """

    starts: dict[str, int] = field(default_factory=dict[str, int])
    _spans: dict[str, list[Range]] = field(default_factory=dict[str, list[Range]])

    def add(self, address: str, first: int, last: int) -> None:
        """Take note that the blocks ``first`` to ``last`` are written too."""
        spans = sorted([*self._spans.get(address, []), Range(first, last)])
        merged = spans[:1]
        for span in spans[1:]:
            if span.first <= merged[-1].last + 1:
                merged[-1] = Range(merged[-1].first, max(merged[-1].last, span.last))
            else:
                merged.append(span)
        self._spans[address] = merged

    def missing(self, address: str, first: int, last: int) -> list[Range]:
        """Return the parts of ``first`` to ``last`` that are not written, in order."""
        last = min(last, self.starts.get(address, first) - 1)
        found: list[Range] = []
        for span in [*self._spans.get(address, []), Range(last + 1, last + 1)]:
            if first < span.first:
                found.append(Range(first, min(last, span.first - 1)))
            first = max(first, span.last + 1)
        return [hole for hole in found if hole.first <= hole.last]

    def has(self, wanted: Collection[str]) -> bool:
        """Return whether all of ``wanted`` have been watched so far; of a new chain all have."""
        return not self.starts or self.starts.keys() >= set(wanted)

    def after(self, wanted: Mapping[str, int], following: int) -> dict[str, int]:
        """Return from which block on each of ``wanted`` is written once ``following`` is next.

        ``wanted`` has the block from which each contract is to be followed. One that was not
        watched so far lacks the blocks before ``following``; of a new chain none does.
        """
        if not self.starts:
            return dict(wanted)
        return {
            address: self.starts.get(address, max(start, following))
            for address, start in wanted.items()
        }
