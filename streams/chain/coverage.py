"""Which blocks of which contracts are written: what has been watched, and the history before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from chaintide.streams.chain.ranges import Range


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """The blocks whose trades are to be written anew, and the first that is still to be written."""

    whole: Range
    following: int

    @property
    def rest(self) -> Range:
        """The blocks that are still to be written."""
        return Range(self.following, self.whole.last)


@dataclass(slots=True)
class Coverage:
    """For each contract the first block from which on all is written, and spans before it.

    ``passed`` are those that had spans when the chain went on: their markets have seen later
    blocks, and take no earlier trades unless they are rebuilt.

    >>> coverage = Coverage({"0xaa": 100})
    >>> coverage.add("0xaa", 10, 19)
    >>> coverage.missing("0xaa", 5, 120)
    [Range(first=5, last=9), Range(first=20, last=99)]
    """

    starts: dict[str, int] = field(default_factory=dict[str, int])
    rebuilds: dict[str, Rebuilding] = field(default_factory=dict[str, Rebuilding])
    passed: set[str] = field(default_factory=set[str])
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
        at = self.rebuilds.get(address)
        if at is not None and at.following == first:
            self.rebuilds[address] = Rebuilding(at.whole, last + 1)
            if last >= at.whole.last:
                del self.rebuilds[address]

    def on_block(self) -> None:
        """Take note that the chain has gone on."""
        self.passed |= self._spans.keys()

    def claim(
        self, starts: Mapping[str, int], rebuilds: Mapping[str, tuple[int, int]], final: int
    ) -> None:
        """Let a new owner watch the contracts in ``starts``, and write some anew.

        Of those that are watched no longer, what is written up to the ``final`` block stays so.
        """
        for address, start in self.starts.items():
            if address not in starts and start <= final:
                self.add(address, start, final)
        self.starts = dict(starts)
        self.rebuilds = {a: at for a, at in self.rebuilds.items() if a in starts}
        for address, (first, last) in rebuilds.items():
            self.rebuilds[address] = Rebuilding(Range(first, last), first)

    def missing(self, address: str, first: int, last: int) -> list[Range]:
        """Return the parts of ``first`` to ``last`` that are not written, in order."""
        last = min(last, self.starts.get(address, first) - 1)
        return self._holes(address, first, last)

    def unwritten(self, address: str, blocks: Range) -> list[Range]:
        """Return what is still to be written of the history of a contract, in order."""
        at = self.rebuilds.get(address)
        return [at.rest] if at else self.missing(address, blocks.first, blocks.last)

    def rebuild(self, address: str, wanted: Range, window: Range) -> Range | None:
        """Return which blocks to write anew so that the ``wanted`` ones, all final, are in order.

        None if none of them is missing, if the contract's markets have seen no later block than
        the first missing one, or if that is being done already. ``window`` is the last final
        block and the last one.

        >>> coverage = Coverage({"0xaa": 100})
        >>> coverage.rebuild("0xaa", Range(40, 120), window=Range(120, 125))
        Range(first=40, last=120)
        >>> coverage.rebuild("0xaa", Range(100, 120), window=Range(120, 125)) is None
        True
        """
        final, last = window.first, window.last
        start = self.starts.get(address, last + 1)
        holes = self._holes(address, wanted.first, min(start - 1, wanted.last))
        spans = self._spans.get(address, [])
        at = self.rebuilds.get(address)
        if not holes or (at is not None and at.whole.first <= wanted.first):
            return None
        is_later = start <= last or any(span.last > holes[0].first for span in spans)
        if not is_later and address not in self.passed:
            return None
        return Range(min(wanted.first, start, *[span.first for span in spans]), final)

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

    def _holes(self, address: str, first: int, last: int) -> list[Range]:
        found: list[Range] = []
        for span in [*self._spans.get(address, []), Range(last + 1, last + 1)]:
            if first < span.first:
                found.append(Range(first, min(last, span.first - 1)))
            first = max(first, span.last + 1)
        return [hole for hole in found if hole.first <= hole.last]
