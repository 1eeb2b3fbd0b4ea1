"""Which blocks of which contracts are written: what has been watched, and the history before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import Owner


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """The blocks whose trades are to be written anew, and the first that is still to be written."""

    whole: Range
    following: int

    @property
    def rest(self) -> Range:
        """The blocks that are still to be written."""
        return Range(self.following, self.whole.last)


@dataclass(frozen=True, slots=True)
class Hole:
    """Blocks that are still to be written of the history of a contract, and of what it made.

    If there is a ``since`` they are written, but for what the contract had made before that block.
    """

    blocks: Range
    since: int | None = None


@dataclass(slots=True)
class Coverage:
    """For each contract the first block from which on all is written, and spans before it.

    Of a factory ``families`` says from which block on what it made is watched. Spans that were
    written while that was a later one are written in part only.
    ``passed`` are those that had spans when the chain went on: their markets have seen later
    blocks, and take no earlier trades unless they are rebuilt.

    >>> coverage = Coverage({"0xaa": 100})
    >>> coverage.add("0xaa", 10, 19)
    >>> coverage.missing("0xaa", 5, 120)
    [Range(first=5, last=9), Range(first=20, last=99)]
    """

    starts: dict[str, int] = field(default_factory=dict[str, int])
    rebuilds: dict[str, Rebuilding] = field(default_factory=dict[str, Rebuilding])
    families: dict[str, int] = field(default_factory=dict[str, int])
    passed: set[str] = field(default_factory=set[str])
    _spans: dict[str, dict[int, list[Range]]] = field(  # by the block from which on families were
        default_factory=dict[str, dict[int, list[Range]]]
    )

    def add(self, address: str, first: int, last: int) -> None:
        """Take note that the blocks ``first`` to ``last`` are written too."""
        spans = self._spans.setdefault(address, {})
        since = self.families.get(address, 0)
        spans[since] = _merged([*spans.get(since, []), Range(first, last)])
        at = self.rebuilds.get(address)
        if at is not None and at.following == first:
            self.rebuilds[address] = Rebuilding(at.whole, last + 1)
            if last >= at.whole.last:
                del self.rebuilds[address]

    def on_block(self) -> None:
        """Take note that the chain has gone on."""
        self.passed |= self._spans.keys()

    def claim(self, owner: Owner, final: int) -> None:
        """Let a new owner watch its contracts, and write some anew.

        Of those that are watched no longer, or from a later block on, what is written up to the
        ``final`` block stays so.
        """
        for address, since in self._unsaid(owner.families).items():
            self.families[address] = since
            self._spans[address] = {since: self._written(address)}
        for address, start in self.starts.items():
            last = min(final, owner.contracts.get(address, final + 1) - 1)
            if start <= last:
                self.add(address, start, last)
        self.starts, self.families = dict(owner.contracts), dict(owner.families)
        self.rebuilds = {a: at for a, at in self.rebuilds.items() if a in self.starts}
        for address, (first, last) in owner.rebuilt.items():
            self.rebuilds[address] = Rebuilding(Range(first, last), first)

    def missing(self, address: str, first: int, last: int) -> list[Range]:
        """Return the parts of ``first`` to ``last`` that are not written, in order."""
        last = min(last, self.starts.get(address, first) - 1)
        return _without(self._written(address), Range(first, last))

    def unwritten(self, address: str, blocks: Range) -> list[Hole]:
        """Return what is still to be written of the history of a contract, in order.

        >>> coverage = Coverage({"0xfa": 100})
        >>> coverage.claim(Owner(chain="local", epoch=2, writer="b", contracts={"0xfa": 121},
        ...     families={"0xfa": 40}), final=120)
        >>> for hole in coverage.unwritten("0xfa", Range(40, 120)):
        ...     print(hole)
        Hole(blocks=Range(first=40, last=99), since=None)
        Hole(blocks=Range(first=100, last=120), since=100)
        """
        if (at := self.rebuilds.get(address)) is not None:
            return [Hole(at.rest)]
        whole = Range(blocks.first, min(blocks.last, self.starts.get(address, blocks.first) - 1))
        rest = _without(self._written(address, self.families.get(address, 0)), whole)
        found: list[Hole] = []
        for since in sorted(self._spans.get(address, {})):
            written = _merged(self._spans[address][since])
            after = [part for hole in rest for part in _without(written, hole)]
            found += [Hole(each, since) for hole in rest for each in _without(after, hole)]
            rest = after
        return sorted([*found, *map(Hole, rest)], key=lambda hole: hole.blocks)

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
        spans = self._written(address)
        holes = _without(spans, Range(wanted.first, min(start - 1, wanted.last)))
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

    def changed(self, families: Mapping[str, int]) -> set[str]:
        """Return the factories of which more or less is to be watched than was so far."""
        known = self.families | self._unsaid(families)
        return {a for a in families.keys() & self.starts.keys() if families[a] != known.get(a)}

    def after(
        self, wanted: Mapping[str, int], families: Mapping[str, int], following: int
    ) -> dict[str, int]:
        """Return from which block on each of ``wanted`` is written once ``following`` is next.

        ``wanted`` has the block from which each contract is to be followed. One that was not
        watched so far lacks the blocks before ``following``, and so does what is made by a factory
        of which ``families`` has another block than before; of a new chain none does.
        """
        if not self.starts:
            return dict(wanted)
        same = self.starts.keys() - self.changed(families)
        return {
            address: self.starts[address] if address in same else max(start, following)
            for address, start in wanted.items()
        }

    def _unsaid(self, families: Collection[str]) -> dict[str, int]:
        """Return of older logs, which do not say it, what they have of ``families``."""
        return {
            address: min([self.starts[address], *[span.first for span in self._written(address)]])
            for address in families
            if address in self.starts and address not in self.families
        }

    def _written(self, address: str, since: int | None = None) -> list[Range]:
        """Return the spans that are written, with all that was made from ``since`` on."""
        spans = self._spans.get(address, {})
        return _merged([span for at in spans if since is None or at <= since for span in spans[at]])


def _merged(spans: list[Range]) -> list[Range]:
    merged: list[Range] = []
    for span in sorted(spans):
        if merged and span.first <= merged[-1].last + 1:
            merged[-1] = Range(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return merged


def _without(spans: list[Range], whole: Range) -> list[Range]:
    """Return what is left of ``whole``, in order; ``spans`` are in order and apart."""
    found: list[Range] = []
    first, last = whole.first, whole.last
    for span in [*spans, Range(last + 1, last + 1)]:
        if first < span.first:
            found.append(Range(first, min(last, span.first - 1)))
        first = max(first, span.last + 1)
    return [hole for hole in found if hole.first <= hole.last]
