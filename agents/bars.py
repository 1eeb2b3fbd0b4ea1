"""Bars: trades folded together exactly, in any order and any grouping.

A bar is an element of a commutative monoid: ``open`` belongs to the least and ``close`` to the
greatest (event time, trade id), everything else is a maximum, a minimum or an integer sum. So
any order, any batching and any retry of the same trades gives the same bits.
"""

from hashlib import blake2b
from itertools import compress
from operator import mul
from typing import Final

import msgspec

from chaintide.streams.records import TradeBatch

MAX_TRADERS: Final = 5_000
_BOUGHT: Final = bytes(char == ord("b") for char in range(256))  # 1 for b, 0 for the others
_DIGEST_BYTES: Final = 16  # two traders with one digest would take 10**17 candles to come by


class Bar(msgspec.Struct, array_like=True):
    """Trades of one market folded together; prices and sizes are integers at their scales.

    ``quote`` (sum of price times size) is at ``price_scale + size_scale``. ``traders`` are
    digests of all who traded, None if a trade does not say who; above 5,000 none are added.
    """

    price_scale: int
    size_scale: int
    open_time_us: int
    open_id: int
    open: int
    close_time_us: int
    close_id: int
    close: int
    high: int
    low: int
    volume: int
    quote: int
    buy_volume: int
    trades: int
    traders: set[bytes] | None = None

    @property
    def unique_traders(self) -> int | None:
        """Return how many have traded, 5,000 at most; None if that is not known."""
        return None if self.traders is None else min(len(self.traders), MAX_TRADERS)

    @property
    def has_more_traders(self) -> bool:
        """Return whether more than 5,000 have traded."""
        return self.traders is not None and len(self.traders) > MAX_TRADERS

    def absorb(self, other: "Bar") -> None:
        """Fold ``other``, which has no trade in common with this bar, into it."""
        if self.price_scale != other.price_scale or self.size_scale != other.size_scale:
            other = align(self, other)
        if other.open_time_us <= self.open_time_us and (
            (other.open_time_us, other.open_id) < (self.open_time_us, self.open_id)
        ):
            self.open_time_us, self.open_id = other.open_time_us, other.open_id
            self.open = other.open
        if other.close_time_us >= self.close_time_us and (
            (other.close_time_us, other.close_id) > (self.close_time_us, self.close_id)
        ):
            self.close_time_us, self.close_id = other.close_time_us, other.close_id
            self.close = other.close
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        self.volume += other.volume
        self.quote += other.quote
        self.buy_volume += other.buy_volume
        self.trades += other.trades
        if self.traders is not None:
            self._join(self.traders, other.traders)

    def _join(self, traders: set[bytes], others: set[bytes] | None) -> None:
        if others is None:
            self.traders = None
        elif len(traders) <= MAX_TRADERS:
            traders |= others

    def copy(self) -> "Bar":
        """Return a bar that can be changed without changing this one."""
        traders = None if self.traders is None else set(self.traders)
        return msgspec.structs.replace(self, traders=traders)

    def rescale(self, price_scale: int, size_scale: int) -> None:
        """Write the same numbers at scales that are no smaller."""
        price = 10 ** (price_scale - self.price_scale)
        size = 10 ** (size_scale - self.size_scale)
        self.open, self.high = self.open * price, self.high * price
        self.low, self.close = self.low * price, self.close * price
        self.volume, self.buy_volume = self.volume * size, self.buy_volume * size
        self.quote *= price * size
        self.price_scale, self.size_scale = price_scale, size_scale


def align(bar: Bar, other: Bar) -> Bar:
    """Bring ``bar`` to the larger scales of the two and return ``other`` at the same scales."""
    price_scale = max(bar.price_scale, other.price_scale)
    size_scale = max(bar.size_scale, other.size_scale)
    bar.rescale(price_scale, size_scale)
    other = other.copy()
    other.rescale(price_scale, size_scale)
    return other


def is_ordered(batch: TradeBatch) -> bool:
    """Return whether neither ids nor times ever fall; sorting what is sorted is quick."""
    return batch.ids == sorted(batch.ids) and batch.times_us == sorted(batch.times_us)


def bar_of(batch: TradeBatch) -> Bar:
    """Return the bar of all trades of ``batch``, which holds each once."""
    ids, times, prices, sizes = batch.ids, batch.times_us, batch.prices, batch.sizes
    first, last = 0, len(ids) - 1
    if len(ids) > 1 and not is_ordered(batch):
        order = sorted(range(len(ids)), key=lambda row: (times[row], ids[row]))
        first, last = order[0], order[-1]
    return Bar(
        price_scale=batch.price_scale,
        size_scale=batch.size_scale,
        open_time_us=times[first],
        open_id=ids[first],
        open=prices[first],
        close_time_us=times[last],
        close_id=ids[last],
        close=prices[last],
        high=max(prices),
        low=min(prices),
        volume=sum(sizes),
        quote=sum(map(mul, prices, sizes)),
        buy_volume=sum(compress(sizes, batch.sides.encode("ascii", "replace").translate(_BOUGHT))),
        trades=len(ids),
        traders=None if batch.traders is None else _digests(batch.traders),
    )


def _digests(traders: list[str]) -> set[bytes] | None:
    """Return what stands for each trader; None if one of them has no name."""
    names = set(traders)
    if "" in names:
        return None
    return {blake2b(name.encode(), digest_size=_DIGEST_BYTES).digest() for name in names}


def rows(batch: TradeBatch, keep: list[int]) -> TradeBatch:
    """Return the trades of ``batch`` at the places ``keep``."""
    return msgspec.structs.replace(
        batch,
        ids=[batch.ids[row] for row in keep],
        times_us=[batch.times_us[row] for row in keep],
        prices=[batch.prices[row] for row in keep],
        sizes=[batch.sizes[row] for row in keep],
        sides="".join([batch.sides[row] for row in keep]),
        traders=None if batch.traders is None else [batch.traders[row] for row in keep],
    )
