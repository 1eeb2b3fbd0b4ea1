"""How a follower takes a chain over from one that died, or that only seems to have died."""

from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.follower import ChainRules, Follower
from chaintide.streams.chain.publishing import Plan, Publishing
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import Family
from chaintide.streams.errors import ReplacedError


class Takeover:
    """The steps from a block log to a follower.

    ``advance`` is called with the log read to its end, again after each plan was written, until
    it returns None. First the chain is claimed. Then everything above the last finished block is
    undone, which repairs a block left half written; where contracts are new, what they make is
    another, or markets have to be rebuilt, everything that is not final, so that what is missing
    of them is final. Last comes what the old follower may have undone between the claim and that:
    what it does later has too low an epoch to count. Of histories nothing is wanted above block
    ``until``. With a ``claim`` the chain is taken in that epoch or not at all: somebody else may
    have taken it since it was seen to be free.
    """

    def __init__(
        self,
        rules: ChainRules,
        publishing: Publishing,
        writer: str,
        until: int | None = None,
        claim: int | None = None,
    ) -> None:
        self._rules = rules
        self._publishing = publishing
        self._writer = writer
        self._until = until
        self._claim = claim
        self._is_repaired = False

    def advance(self, log: BlockLog) -> Plan | None:
        """Return what is to be written next, None if the chain is ours."""
        if not self.has(log):
            is_late = self._claim is not None and self._claim < log.next_epoch
            if self._is_repaired or is_late:
                raise ReplacedError(f"chain {self._rules.chain} has another follower")
            self._publishing.epoch = log.next_epoch
            rebuilt = {a: (blocks.first, blocks.last) for a, blocks in self._rebuilds(log).items()}
            covered, families = self._covered(log), self._families()
            return self._publishing.owning(self._writer, covered, rebuilt, families)
        if not self._is_repaired:
            self._is_repaired = True
            return self._publishing.undoing(self._next(log) - 1)
        return None if log.stray is None else self._publishing.undoing(log.stray)

    def has(self, log: BlockLog) -> bool:
        """Return whether the chain was claimed and is ours, as far as ``log`` goes."""
        return log.is_owned_by(self._publishing.epoch, self._writer)

    def _covered(self, log: BlockLog) -> dict[str, int]:
        """Return what will be written of each contract once this follower has the chain."""
        return log.coverage.after(self._wanted(), self._families(), self._next(log))

    def _rebuilds(self, log: BlockLog) -> dict[str, Range]:
        """Return the contracts whose markets have begun too late, with the blocks to write anew."""
        last, final = log.window.last, log.window.final
        if last is None or final < 0 or not log.coverage.starts:
            return {}
        window, watch = Range(final, last.number), self._publishing.watch
        until = final if self._until is None else min(self._until, final)
        return {
            address: blocks
            for address, start in self._wanted().items()
            if watch.form_of(address) is not None
            and (blocks := log.coverage.rebuild(address, Range(start, until), window)) is not None
        }

    def _wanted(self) -> dict[str, int]:
        named = self._publishing.watch.named
        return {address: max(one.start, self._rules.start) for address, one in named.items()}

    def _families(self) -> dict[str, Family]:
        watch = self._publishing.watch
        return {address: watch.family(address, start) for address, start in self._wanted().items()}

    def _next(self, log: BlockLog) -> int:
        """Return the block to go on with; where history is missing, the first not yet final."""
        last, final = log.window.last, log.window.final
        if last is None:
            return self._rules.start
        is_same = not log.coverage.changed(self._families())
        if is_same and log.coverage.has(self._wanted()) and not self._rebuilds(log):
            return last.number + 1
        return final + 1 if final >= 0 else self._rules.start

    def follower(self, log: BlockLog) -> Follower:
        """Return the follower that goes on where ``log`` ends.

        It watches what factories made above the last final block; the chain itself has the rest.
        """
        for seen in log.window:
            if seen.number <= log.window.final:
                continue  # perhaps the end of a range: nobody knows where in it they were made
            for address, kind in seen.children.items():
                self._publishing.watch.add(address, kind, seen.number)
        return Follower(self._rules, log.window)
