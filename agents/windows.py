"""One window of one market: its settled bar, its revision, and the candle it shows."""

from typing import Final

import msgspec

from chaintide.agents.bars import Bar
from chaintide.streams import decimals
from chaintide.streams.intervals import INTERVALS, WIDTH_MS
from chaintide.streams.records import Candle, Market, Reason, Status

VWAP_DIGITS: Final = 16
WIDTHS_US: Final = tuple(WIDTH_MS[interval] * 1000 for interval in INTERVALS)


class Window(msgspec.Struct, array_like=True):
    """What is known of ``[open_us, open_us + width)`` at one interval.

    ``flat`` is the price of a window without trades. ``runs`` (1m only) are the ids of its
    trades, so that no trade counts twice. ``revision`` is 0 while open, ``reason`` why it was
    last corrected.
    """

    open_us: int
    bar: Bar | None = None
    revision: int = 0
    updated_us: int = 0
    flat: str = ""
    runs: list[int] = []
    reason: Reason | None = None

    def absorb(self, bar: Bar) -> None:
        """Fold ``bar``, whose trades are new here, into the settled bar."""
        if self.bar is None:
            self.bar = bar.copy()
        else:
            self.bar.absorb(bar)


def close_of(window: Window, shown: Bar | None) -> str:
    """Return the price at the end of ``window``."""
    return window.flat if shown is None else decimals.text(shown.close, shown.price_scale)


def vwap(bar: Bar) -> str:
    """Return quote volume over volume, half up to 16 significant digits.

    >>> vwap(Bar(1, 0, 0, 1, 15, 0, 2, 16, 16, 15, 3, 46, 0, 2))
    '1.533333333333333'
    """
    places = VWAP_DIGITS - len(str(bar.quote // bar.volume)) if bar.quote >= bar.volume else 20
    places = max(places, 0)
    scaled = (2 * bar.quote * 10**places + bar.volume) // (2 * bar.volume)
    return decimals.text(scaled, bar.price_scale + places)


class Shown(msgspec.Struct, frozen=True):
    """What a candle shows besides its window's own numbers."""

    market: Market
    level: int
    status: Status
    complete: bool


def candle(window: Window, bar: Bar | None, shown: Shown) -> Candle:
    """Return the candle of ``window`` whose trades, settled and pending, are in ``bar``."""
    interval = INTERVALS[shown.level]
    open_ms = window.open_us // 1000
    if bar is None:
        prices = (window.flat,) * 4
        sums = ("0", "0", "0")
        mean, trades, first, last = None, 0, None, None
    else:
        scale = bar.price_scale
        prices = (
            decimals.text(bar.open, scale),
            decimals.text(bar.high, scale),
            decimals.text(bar.low, scale),
            decimals.text(bar.close, scale),
        )
        sums = (
            decimals.text(bar.volume, bar.size_scale),
            decimals.text(bar.quote, scale + bar.size_scale),
            decimals.text(bar.buy_volume, bar.size_scale),
        )
        mean, trades, first, last = vwap(bar), bar.trades, bar.open_id, bar.close_id
    return Candle(
        market=shown.market,
        interval=interval,
        open_time_ms=open_ms,
        close_time_ms=open_ms + WIDTH_MS[interval],
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=sums[0],
        quote_volume=sums[1],
        vwap=mean,
        taker_buy_volume=sums[2],
        trades=trades,
        first_trade_id=first,
        last_trade_id=last,
        status=shown.status,
        revision=window.revision,
        complete=shown.complete,
        fill="carry" if bar is None else "traded",
        updated_ms=window.updated_us // 1000,
        reason=window.reason,
        unique_traders=0 if bar is None else bar.unique_traders,
        has_more_traders=bar is not None and bar.has_more_traders,
    )
