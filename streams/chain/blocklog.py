"""The block log of one chain: what its followers have finished, and who may go on.

A follower writes what it is about to undo before it does so. So one that takes over can tell from
the log alone what an older one, not yet dead, may have undone meanwhile.
"""

from chaintide.streams.chain.coverage import Coverage
from chaintide.streams.chain.records import BlockEnd, BlockMessage, Owner, Synced
from chaintide.streams.chain.window import Seen, Window
from chaintide.streams.records import Final, Undo


class BlockLog:
    """The records of one chain, read in order up to some point.

    >>> log = BlockLog()
    >>> log.on_record(Owner(chain="local", epoch=1, writer="a"))
    >>> log.on_record(Owner(chain="local", epoch=1, writer="b"))
    >>> log.is_owned_by(1, "a"), log.is_owned_by(1, "b"), log.next_epoch
    (True, False, 2)
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.writer = ""
        self.window = Window()
        self.strays: list[int] = []
        self.coverage = Coverage()
        self._known = 0  # the epoch that every partition knows: older undoes are ignored there
        self._claimed: Owner | None = None

    def on_record(self, record: BlockMessage) -> None:
        """Take in the next record; of a follower that was replaced only what it may have undone."""
        if record.epoch < self.epoch:
            if isinstance(record, Undo) and record.epoch >= self._known:
                self.strays.append(record.to_number)
            return
        match record:
            case Owner():
                self._own(record)
            case Undo():
                self._undo(record.to_number)
            case Final():
                self._finalize(record.number)
            case BlockEnd():
                self._push(record)
            case Synced():
                self.coverage.add(record.address, record.first, record.last)
            case _:
                pass  # what a lease is about

    @property
    def next_epoch(self) -> int:
        """The epoch of whoever takes over."""
        return self.epoch + 1

    def is_owned_by(self, epoch: int, writer: str) -> bool:
        """Return whether ``writer`` has the chain: the first to claim the highest epoch."""
        return (self.epoch, self.writer) == (epoch, writer)

    @property
    def stray(self) -> int | None:
        """The lowest block to which a replaced follower may have gone back, and nobody came after.

        To repair that, the owner undoes to there too, and applies what follows again. One that was
        replaced before it did so leaves it to the next; with its first block it has done so.
        """
        last = self.window.last
        if last is None or not self.strays:
            return None
        lowest = max(min(self.strays), self.window.final)
        return lowest if lowest < last.number else None

    def _own(self, owner: Owner) -> None:
        if owner.epoch > self.epoch:
            self.epoch, self.writer = owner.epoch, owner.writer
            self._claimed = owner if owner.contracts else None

    def _undo(self, to_number: int) -> None:
        """Go back; the first time an owner does, what it watches is written from there on."""
        self._cut(to_number)
        if (owner := self._claimed) is not None:
            self.coverage.claim(owner, self.window.final)
            self._claimed = None

    def _finalize(self, number: int) -> None:
        if self.window.at(number) is not None:
            self.window.finalize(number)

    def _cut(self, to_number: int) -> None:
        if to_number >= self.window.final:
            self.window.cut(to_number)

    def _push(self, end: BlockEnd) -> None:
        seen = Seen(
            number=end.number,
            hash=end.block_hash,
            parent_hash=end.parent_hash,
            time_ms=end.time_ms,
            children=end.children,
        )
        last = self.window.last
        self._known, self.strays = end.epoch, []
        self.coverage.on_block()
        if last is not None and seen.number > last.number + 1:
            self.window.restart(seen)  # a range of final blocks ends here
        elif seen.number > self.window.final:
            self._cut(seen.number - 1)
            self.window.push(seen)
