"""The most recent trades of one market."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from chaintide.api.live.update import Update
from chaintide.api.state.overlay import seq_of
from chaintide.streams import codec, decimals
from chaintide.streams.records import Market, Side, TradeBatch, Undo

MAX_TRADES: Final = 1_000
_SIDES: Final[dict[str, Side | None]] = {"b": "buy", "s": "sell", "?": None}
Place = tuple[int, int]


class TapeTrade(msgspec.Struct, frozen=True):
    """One trade as readers see it; ``side`` is what the taker did.

    ``block`` is that of a chain's trade, which is retracted should the block be replaced.
    """

    trade_id: int
    time_us: int
    price: str
    size: str
    side: Literal["buy", "sell"] | None
    block: int | None = None

    @property
    def place(self) -> Place:
        """Where it stands among the trades of its market."""
        return self.time_us, self.trade_id


class Retraction(msgspec.Struct, frozen=True):
    """Trades of blocks above ``above_block`` did not happen: their chain has replaced the blocks.

    Trades that come after it may have the ids of some that are retracted.
    """

    above_block: int


def retraction(market: Market, undo: Undo, offset: int, time_ms: int) -> Update:
    """Return what whoever may have trades of ``market`` is told of ``undo``."""
    return Update(
        channel=f"trades:{market}",
        seq=seq_of(offset),
        key=f"retraction {offset}",  # no later update says what this one does
        type="retraction",
        event_ms=time_ms,
        published_ms=time_ms,
        data=codec.encode(Retraction(undo.to_number)),
    )


class Tape:
    """The newest 1,000 trades, each id once, ordered by (time, id).

    When it is full the oldest go. A trade older than all of a full tape is not taken, so one
    that went cannot come back.
    """

    def __init__(self) -> None:
        self._trades: list[TapeTrade] = []
        self._ids: set[int] = set()

    def __len__(self) -> int:
        return len(self._trades)

    def add(self, trades: Iterable[TapeTrade]) -> list[TapeTrade]:
        """Take ``trades`` and return the new ones that are among the newest now, oldest first."""
        fresh = []
        for trade in trades:
            if trade.trade_id in self._ids:
                continue
            self._ids.add(trade.trade_id)
            fresh.append(trade)
            if self._trades and trade.place < self._trades[-1].place:
                insort(self._trades, trade, key=_place)
            else:
                self._trades.append(trade)
        floor = self._cut()
        return sorted((trade for trade in fresh if trade.place >= floor), key=_place)

    def retract(self, above_block: int) -> None:
        """Drop what is of a block above that one."""
        gone = [t for t in self._trades if t.block is not None and t.block > above_block]
        self._ids.difference_update(trade.trade_id for trade in gone)
        self._trades = [t for t in self._trades if t.block is None or t.block <= above_block]

    def newest(self, count: int) -> list[TapeTrade]:
        """Return the newest ``count`` trades, oldest first."""
        return self._trades[max(0, len(self._trades) - count) :]

    def since(self, time_us: int) -> list[TapeTrade]:
        """Return the trades from ``time_us`` on, oldest first."""
        return self._trades[bisect_left(self._trades, (time_us, -1), key=_place) :]

    def _cut(self) -> Place:
        surplus = len(self._trades) - MAX_TRADES
        if surplus > 0:
            self._ids.difference_update(trade.trade_id for trade in self._trades[:surplus])
            del self._trades[:surplus]
        return self._trades[0].place if self._trades else (0, 0)


def tape_trades(batch: TradeBatch) -> list[TapeTrade]:
    """Return the trades of ``batch`` as readers see them.

    >>> batch = TradeBatch(market="x:Y", price_scale=1, size_scale=0, ids=[7], times_us=[5],
    ...                    prices=[15], sizes=[2], sides="b")
    >>> tape_trades(batch)
    [TapeTrade(trade_id=7, time_us=5, price='1.5', size='2', side='buy', block=None)]
    """
    return [
        TapeTrade(
            trade_id,
            time_us,
            decimals.text(price, batch.price_scale),
            decimals.text(size, batch.size_scale),
            _SIDES.get(side),
            batch.block,
        )
        for trade_id, time_us, price, size, side in zip(
            batch.ids, batch.times_us, batch.prices, batch.sizes, batch.sides, strict=True
        )
    ]


def _place(trade: TapeTrade) -> Place:
    return trade.place
