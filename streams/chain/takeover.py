"""How a follower takes a chain over from one that died, or that only seems to have died."""

from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.follower import ChainRules, Follower
from chaintide.streams.chain.publishing import Plan, Publishing
from chaintide.streams.errors import ReplacedError


class Takeover:
    """The steps from a block log to a follower.

    ``advance`` is called with the log read to its end, again after each plan was written, until
    it returns None. First the chain is claimed. Then everything above the last finished block is
    undone, which repairs a block left half written; where contracts are new, everything that is not
    final, so that what is missing of them is final. Last comes what the old follower may have
    undone between the claim and that: what it does later has too low an epoch to count.
    """

    def __init__(self, rules: ChainRules, publishing: Publishing, writer: str) -> None:
        self._rules = rules
        self._publishing = publishing
        self._writer = writer
        self._is_repaired = False

    def advance(self, log: BlockLog) -> Plan | None:
        """Return what is to be written next, None if the chain is ours."""
        if not log.is_owned_by(self._publishing.epoch, self._writer):
            if self._is_repaired:
                raise ReplacedError(f"chain {self._rules.chain} has another follower")
            self._publishing.epoch = log.next_epoch
            return self._publishing.owning(self._writer, self._covered(log))
        if not self._is_repaired:
            self._is_repaired = True
            return self._publishing.undoing(self._next(log) - 1)
        return None if log.stray is None else self._publishing.undoing(log.stray)

    def _covered(self, log: BlockLog) -> dict[str, int]:
        """Return what will be written of each contract once this follower has the chain."""
        return log.coverage.after(self._wanted(), self._next(log))

    def _wanted(self) -> dict[str, int]:
        named = self._publishing.watch.named
        return {address: max(one.start, self._rules.start) for address, one in named.items()}

    def _next(self, log: BlockLog) -> int:
        """Return the block to go on with; with new contracts the first one that is not final."""
        last, final = log.window.last, log.window.final
        if last is None:
            return self._rules.start
        if log.coverage.has(self._wanted()):
            return last.number + 1
        return final + 1 if final >= 0 else self._rules.start

    def follower(self, log: BlockLog) -> Follower:
        """Return the follower that goes on where ``log`` ends."""
        for seen in log.window:
            for address, kind in seen.children.items():
                self._publishing.watch.add(address, kind, seen.number)
        return Follower(self._rules, log.window)
