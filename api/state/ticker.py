"""The last 24 hours of one market, exactly, in about 65 KB."""

import re
from decimal import Decimal, localcontext
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from chaintide.streams import decimals
from chaintide.streams.feeds.coingecko import PriceTick
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Candle, Market

MINUTES: Final = 1_440
PERCENT_PLACES: Final = 4
_OPEN, _HIGH, _LOW, _VOLUME, _QUOTE = range(5)
_MAX: Final = 2**63 - 1
_NUMBER: Final = r"[0-9]{1,100}(?:\.[0-9]{1,100})?"
_NUMBERS: Final = re.compile(" ".join([_NUMBER] * 6))
Row = tuple[int, int, int, int, int]


class TickerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a market did in the 1,440 minutes up to ``close_time_ms``.

    ``open`` is the first price in that time, so ``change`` is ``last - open``. ``change_percent``
    is rounded half up to four places; all else is exact. With ``basis`` "price" the market has
    observed prices only, no trades, and all but ``last`` is null.
    """

    market: Market
    basis: str
    open_time_ms: int | None = None
    close_time_ms: int
    last: str
    open: str | None = None
    change: str | None = None
    change_percent: str | None = None
    high: str | None = None
    low: str | None = None
    volume: str | None = None
    quote_volume: str | None = None
    trades: int | None = None


def is_countable(candle: Candle) -> bool:
    """Return whether a candle's prices, sizes and trades are numbers that a ticker can take."""
    prices = f"{candle.open} {candle.high} {candle.low} {candle.close}"
    texts = f"{prices} {candle.volume} {candle.quote_volume}"
    return 0 <= candle.trades <= _MAX and _NUMBERS.fullmatch(texts) is not None


class Ticker:
    """One-minute candles of the last 1,440 minutes up to the newest one seen.

    Quiet minutes take no row. Numbers are integers at common scales; should one not fit into
    64 bits, the matrix changes to Python's. Sums are kept, never summed again; extremes are sought
    again only when the minute that has one changes or leaves.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self._newest: int | None = None
        self._last = ""
        self._rows: np.ndarray[Any, Any] = np.zeros((5, MINUTES), dtype=np.int64)
        self._trades: np.ndarray[Any, Any] = np.zeros(MINUTES, dtype=np.int64)
        self._scales = [0, 0, 0]  # of prices, sizes, and their products
        self._sums = [0, 0, 0]  # volume, quote volume, trades
        self._extremes: _Extremes | None = None

    def put(self, candle: Candle) -> bool:
        """Take the newest form of a one-minute candle and return whether it is in the window."""
        minute = candle.open_time_ms // MINUTE_MS
        if self._newest is not None and minute <= self._newest - MINUTES:
            return False
        self._advance(minute)
        if minute == self._newest:
            self._last = candle.close
        self._clear(minute % MINUTES)
        if candle.trades:
            self._set(minute % MINUTES, candle)
        return True

    def figures(self) -> TickerFigures | None:
        """Return the figures of the window, or None before the first candle."""
        if self._newest is None:
            return None
        close_ms = (self._newest + 1) * MINUTE_MS
        first, high, low = self._prices()
        with localcontext() as context:
            context.prec = 120
            last, opened = Decimal(self._last), Decimal(first)
            change = last - opened
            percent = _rounded(change * 100 / opened) if opened else "0"
        return TickerFigures(
            market=self.market,
            basis="trades",
            open_time_ms=close_ms - MINUTES * MINUTE_MS,
            close_time_ms=close_ms,
            last=self._last,
            open=first,
            change=_plain(change),
            change_percent=percent,
            high=high,
            low=low,
            volume=decimals.text(self._sums[0], self._scales[1]),
            quote_volume=decimals.text(self._sums[1], self._scales[2]),
            trades=self._sums[2],
        )

    def _advance(self, minute: int) -> None:
        if self._newest is None:
            self._newest = minute
        passed = min(minute - self._newest, MINUTES)
        for gone in range(minute - passed + 1, minute + 1):
            self._clear(gone % MINUTES)
        self._newest = max(self._newest, minute)

    def _clear(self, at: int) -> None:
        if self._trades[at]:
            self._sums[0] -= int(self._rows[_VOLUME, at])
            self._sums[1] -= int(self._rows[_QUOTE, at])
            self._sums[2] -= int(self._trades[at])
            self._trades[at] = 0
            if self._extremes is not None and self._extremes.are_of(at, self._rows):
                self._extremes = None

    def _set(self, at: int, candle: Candle) -> None:
        texts = (candle.open, candle.high, candle.low, candle.volume, candle.quote_volume)
        parsed = [_scaled(text) for text in texts]
        scales = [max(scale for _, scale in parsed[:3]), parsed[_VOLUME][1], parsed[_QUOTE][1]]
        self._rescale(scales)
        numbers = [
            n * 10 ** (self._scales[max(0, column - _LOW)] - scale)
            for column, (n, scale) in enumerate(parsed)
        ]
        if max(numbers) > _MAX:
            self._promote()
        self._rows[:, at] = numbers
        self._trades[at] = candle.trades
        self._sums[0] += numbers[_VOLUME]
        self._sums[1] += numbers[_QUOTE]
        self._sums[2] += candle.trades
        if (known := self._extremes) is not None:
            is_first = (at - self._oldest) % MINUTES < (known.first - self._oldest) % MINUTES
            self._extremes = _Extremes(
                at if is_first else known.first,
                max(known.high, numbers[_HIGH]),
                min(known.low, numbers[_LOW]),
            )

    def _rescale(self, wanted: list[int]) -> None:
        """Bring the matrix to scales at which ``wanted`` fits."""
        for kind, columns in enumerate(((_OPEN, _HIGH, _LOW), (_VOLUME,), (_QUOTE,))):
            if wanted[kind] <= self._scales[kind]:
                continue
            self._extremes = None
            factor = 10 ** (wanted[kind] - self._scales[kind])
            for column in columns:
                largest = int(np.max(self._rows[column], initial=0))
                if largest * factor > _MAX or factor > _MAX:
                    self._promote()
                self._rows[column] *= factor
            if kind:
                self._sums[kind - 1] *= factor
            self._scales[kind] = wanted[kind]

    def _promote(self) -> None:
        if self._rows.dtype != object:
            self._rows = self._rows.astype(object)

    @property
    def _oldest(self) -> int:
        """Where the oldest minute of the window is."""
        return 0 if self._newest is None else (self._newest + 1) % MINUTES

    def _prices(self) -> tuple[str, str, str]:
        """Return the first price, the highest and the lowest; the last one if nobody traded."""
        if self._extremes is None:
            self._extremes = self._sought()
        if (known := self._extremes) is None:
            return self._last, self._last, self._last
        prices = int(self._rows[_OPEN, known.first]), known.high, known.low
        opened, high, low = (decimals.text(price, self._scales[0]) for price in prices)
        return opened, high, low

    def _sought(self) -> "_Extremes | None":
        traded = self._trades != 0
        if not traded.any():
            return None
        later, rows = traded[self._oldest :], self._rows
        first = self._oldest + int(later.argmax()) if later.any() else int(traded.argmax())
        high = rows[_HIGH].max(where=traded, initial=0)
        low = rows[_LOW].min(where=traded, initial=rows[_LOW, first])
        return _Extremes(first, int(high), int(low))


class _Extremes(NamedTuple):
    """Where the first price of a window is, and its highest and lowest price."""

    first: int
    high: int
    low: int

    def are_of(self, at: int, rows: np.ndarray[Any, Any]) -> bool:
        """Return whether one of them is of minute ``at``."""
        return at == self.first or self.high == rows[_HIGH, at] or self.low == rows[_LOW, at]


def _scaled(text: str) -> tuple[int, int]:
    whole, _, places = text.partition(".")
    return int(whole + places), len(places)


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def _rounded(number: Decimal) -> str:
    scaled = number.scaleb(PERCENT_PLACES)
    whole = int(abs(scaled) + Decimal("0.5"))
    return decimals.text(-whole if number < 0 else whole, PERCENT_PLACES)


def observed_figures(tick: PriceTick) -> TickerFigures:
    """Return what is known of a market whose price is observed only."""
    return TickerFigures(
        market=tick.market,
        basis=tick.basis,
        close_time_ms=tick.time_us // 1000,
        last=tick.price,
    )
