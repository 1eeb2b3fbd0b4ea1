"""The block log of one chain: what its followers have finished, and who may go on.

A follower writes what it is about to undo before it does so. So one that takes over can tell from
the log alone what an older one, not yet dead, may have undone meanwhile.
"""

from collections.abc import Mapping
from typing import Final as Constant

from msgspec.structs import replace

from chaintide.streams.chain.coverage import Coverage
from chaintide.streams.chain.records import (
    BlockEnd,
    BlockMessage,
    Owner,
    Summary,
    Synced,
    writer_of,
)
from chaintide.streams.chain.window import Seen, Window
from chaintide.streams.records import Final, Undo

SUMMARY_MS: Constant = 7 * 24 * 3_600_000  # a small part of the time that Kafka keeps the log


class BlockLog:
    """The records of one chain, read in order up to some point.

    The oldest may be gone. Whatever a record is about, its epoch counts; who has that is not known
    if its claim is gone, until the owner writes a ``Summary``.

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
        self.summed_ms: int | None = None  # when the last summary was written
        self._claimed: Owner | None = None

    def on_record(self, record: BlockMessage) -> None:
        """Take in the next record; of a follower that was replaced only what it may have undone."""
        if record.epoch < self.epoch:
            self._on_older(record)
            return
        if record.epoch > self.epoch:
            self._begin(record)
        match record:
            case Undo():
                self._undo(record.to_number)
            case Final():
                self._finalize(record.number)
            case BlockEnd():
                self._push(record)
            case Synced():
                self.coverage.add(record.address, record.first, record.last)
            case Summary():
                self._recall(record)
            case _:
                pass  # claims of an epoch that has an owner, and what a lease is about

    def summary(
        self, chain: str, children: Mapping[int, dict[str, str]], *, now_ms: int
    ) -> Summary:
        """Return all that was read; ``children`` are those of each block."""
        return Summary(
            chain=chain,
            epoch=self.epoch,
            writer=self.writer,
            written_ms=now_ms,
            contracts=self.coverage.starts,
            makes=self.coverage.families,
            spans=self.coverage.spans,
            final=self.window.final,
            blocks=[replace(seen, children=children.get(seen.number, {})) for seen in self.window],
        )

    def is_to_be_summed(self, *, now_ms: int) -> bool:
        """Return whether a week has passed since the last summary, by whatever clock."""
        return self.summed_ms is None or abs(now_ms - self.summed_ms) >= SUMMARY_MS

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

    def _on_older(self, record: BlockMessage) -> None:
        if isinstance(record, Undo) and record.epoch >= self._known:
            self.strays.append(record.to_number)

    def _begin(self, record: BlockMessage) -> None:
        self.epoch, self.writer = record.epoch, writer_of(record)
        self._claimed = record if isinstance(record, Owner) else None

    def _recall(self, summary: Summary) -> None:
        self.writer, self.summed_ms = summary.writer, summary.written_ms
        self._known, self.strays = summary.epoch, []
        self.coverage.recall(summary)
        self.window.replace(summary.blocks, summary.final)

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
