"""The tapes of all markets, and what undone blocks take out of them."""

from chaintide.api.state.marks import Marks
from chaintide.api.state.tape import Tape, TapeTrade
from chaintide.streams.records import Final, Market, TradeBatch, Undo


class Tapes:
    """One tape for each market that was traded.

    A market's records are all in one partition, and so is the news of its chain that counts.
    """

    def __init__(self) -> None:
        self._marks = Marks()
        self._tapes: dict[Market, Tape] = {}
        self._of_chain: dict[tuple[str, int], dict[Market, None]] = {}

    def tape(self, market: Market) -> Tape:
        """Return the tape of ``market``, empty if nothing was heard of it."""
        return self._tapes.get(market) or Tape()

    def is_wanted(self, batch: TradeBatch, partition: int) -> bool:
        """Return whether the trades of ``batch`` can be news."""
        return self._marks.is_wanted(batch, partition)

    def add(self, batch: TradeBatch, trades: list[TapeTrade], partition: int) -> list[TapeTrade]:
        """Take the ``trades`` of ``batch`` and return the new ones among the newest."""
        if batch.block is not None:
            place = (batch.market.partition(":")[0], partition)
            self._of_chain.setdefault(place, {})[batch.market] = None
        return self._tapes.setdefault(batch.market, Tape()).add(trades)

    def on_final(self, final: Final, partition: int) -> None:
        """Take it that no more trades come of blocks that are final."""
        self._marks.on_news(final, partition)

    def on_undo(self, undo: Undo, partition: int) -> list[Market]:
        """Drop the trades of undone blocks; return the markets that may have had any."""
        if not self._marks.on_news(undo, partition):
            return []
        markets = list(self._of_chain.get((undo.chain, partition), ()))
        for market in markets:
            self._tapes[market].retract(undo.to_number)
        return markets
