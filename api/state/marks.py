"""What was heard of chains: which followers were replaced, and which blocks are final."""

from dataclasses import dataclass

from chaintide.streams.records import Final, TradeBatch, Undo


@dataclass(frozen=True, slots=True)
class Mark:
    """The epoch of a chain's follower, and the last final block."""

    epoch: int = 0
    final: int = -1


class Marks:
    """One mark for each chain and partition: partitions are read at different speeds.

    >>> from chaintide.streams.records import Undo
    >>> marks = Marks()
    >>> marks.on_news(Undo(chain="local", to_number=6, epoch=2), partition=0)
    True
    >>> marks.on_news(Undo(chain="local", to_number=4, epoch=1), partition=0)
    False
    """

    def __init__(self) -> None:
        self._marks: dict[tuple[str, int], Mark] = {}

    def on_news(self, news: Undo | Final, partition: int) -> bool:
        """Take an undo or final and return whether it comes from the chain's follower."""
        mark = self._marks.get((news.chain, partition), Mark())
        if news.epoch < mark.epoch:
            return False
        final = max(mark.final, news.number) if isinstance(news, Final) else mark.final
        self._marks[news.chain, partition] = Mark(news.epoch, final)
        return True

    def is_wanted(self, batch: TradeBatch, partition: int) -> bool:
        """Return whether trades of a chain are news: from its follower, and not final yet."""
        if batch.block is None:
            return True
        mark = self._marks.get((batch.market.partition(":")[0], partition), Mark())
        return batch.epoch >= mark.epoch and batch.block > mark.final
