"""Which blocks of which contracts are written: what has been watched, and the history before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import Family, Owner, Span, Summary

NONE: Final = Family()


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

    If there is a ``family`` they are written, but for what that did not know of.
    """

    blocks: Range
    family: Family | None = None


@dataclass(slots=True)
class Coverage:
    """For each contract the first block from which on all is written, and spans before it.

    ``families`` says what each makes that is watched. Spans that were written while less of that
    was, or from a later block on, are written in part only.
    ``passed`` are those that had spans when the chain went on: their markets have seen later
    blocks, and take no earlier trades unless they are rebuilt.

    >>> coverage = Coverage({"0xaa": 100})
    >>> coverage.add("0xaa", 10, 19)
    >>> coverage.missing("0xaa", 5, 120)
    [Range(first=5, last=9), Range(first=20, last=99)]
    """

    starts: dict[str, int] = field(default_factory=dict[str, int])
    rebuilds: dict[str, Rebuilding] = field(default_factory=dict[str, Rebuilding])
    families: dict[str, Family] = field(default_factory=dict[str, Family])
    passed: set[str] = field(default_factory=set[str])
    _spans: dict[str, dict[Family, list[Range]]] = field(  # by what was watched meanwhile
        default_factory=dict[str, dict[Family, list[Range]]]
    )
    _has_blocks: bool = False

    def add(self, address: str, first: int, last: int) -> None:
        """Take note that the blocks ``first`` to ``last`` are written too."""
        spans = self._spans.setdefault(address, {})
        family = self.families.get(address, NONE)
        spans[family] = _merged([*spans.get(family, []), Range(first, last)])
        at = self.rebuilds.get(address)
        if at is not None and at.following == first:
            self.rebuilds[address] = Rebuilding(at.whole, last + 1)
            if last >= at.whole.last:
                del self.rebuilds[address]

    def on_block(self) -> None:
        """Take note that the chain has gone on."""
        self._has_blocks = True
        self.passed |= self._spans.keys()

    def claim(self, owner: Owner, final: int) -> None:
        """Let a new owner watch its contracts, and write some anew.

        Of those that are watched no longer, or from a later block on, what is written up to the
        ``final`` block stays so.
        """
        for address, start in self.starts.items():
            last = min(final, owner.contracts.get(address, final + 1) - 1)
            if start <= last:
                self.add(address, start, last)
        self.starts, self.families = dict(owner.contracts), dict(owner.makes)
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
        ...     makes={"0xfa": Family(40, ("5e",))}), final=120)
        >>> for hole in coverage.unwritten("0xfa", Range(40, 120)):
        ...     print(hole)
        Hole(blocks=Range(first=40, last=99), family=None)
        Hole(blocks=Range(first=100, last=120), family=Family(since=0, factories=()))
        """
        if (at := self.rebuilds.get(address)) is not None:
            return [Hole(at.rest)]
        whole = Range(blocks.first, min(blocks.last, self.starts.get(address, blocks.first) - 1))
        wanted = self.families.get(address, NONE)
        rest = _without(self._written(address, wanted), whole)
        found: list[Hole] = []
        for family in sorted(self._spans.get(address, {}), key=partial(_rank, wanted)):
            written = self._spans[address][family]
            after = [part for hole in rest for part in _without(written, hole)]
            found += [Hole(each, family) for hole in rest for each in _without(after, hole)]
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
        """Return whether ``wanted`` are what has been watched so far; of a new chain they are."""
        return self._is_new or self.starts.keys() == set(wanted)

    def changed(self, families: Mapping[str, Family]) -> set[str]:
        """Return the contracts of which more or less is to be watched than was so far."""
        known = self.families
        return {
            a for a in families.keys() & self.starts.keys() if families[a] != known.get(a, NONE)
        }

    def after(
        self, wanted: Mapping[str, int], families: Mapping[str, Family], following: int
    ) -> dict[str, int]:
        """Return from which block on each of ``wanted`` is written once ``following`` is next.

        ``wanted`` has the block from which each contract is to be followed. One that was not
        watched so far lacks the blocks before ``following``, and so does what is made by one of
        which ``families`` says something else than before; of a new chain none does.
        """
        if self._is_new:
            return dict(wanted)
        same = self.starts.keys() - self.changed(families)
        return {
            address: self.starts[address] if address in same else max(start, following)
            for address, start in wanted.items()
        }

    @property
    def spans(self) -> dict[str, list[Span]]:
        """The spans of each contract, as a summary tells them."""
        return {
            address: [Span(each.first, each.last, at) for at in spans for each in spans[at]]
            for address, spans in self._spans.items()
        }

    def recall(self, summary: Summary) -> None:
        """Be as ``summary`` says, but for what is being rebuilt."""
        self.starts, self.families = dict(summary.contracts), dict(summary.makes)
        self._spans = {}
        for address, spans in summary.spans.items():
            mine = self._spans.setdefault(address, {})
            for each in spans:
                mine.setdefault(each.family, []).append(Range(each.first, each.last))
        self.passed = set(self._spans)
        self._has_blocks = self._has_blocks or bool(summary.blocks)

    @property
    def _is_new(self) -> bool:
        return not self.starts and not self._has_blocks

    def _written(self, address: str, wanted: Family = NONE) -> list[Range]:
        """Return the spans that are written, with all that is ``wanted`` of what was made."""
        spans = self._spans.get(address, {})
        return _merged([each for at in spans if _has_all(at, wanted) for each in spans[at]])


def _has_all(family: Family, wanted: Family) -> bool:
    is_early = family.since <= wanted.since
    return not wanted.factories or (is_early and {*wanted.factories} <= {*family.factories})


def _rank(wanted: Family, family: Family) -> tuple[int, int, tuple[str, ...]]:
    """Return what comes first if ``family`` has the most of what is ``wanted``."""
    return -len({*wanted.factories} & {*family.factories}), family.since, family.factories


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
