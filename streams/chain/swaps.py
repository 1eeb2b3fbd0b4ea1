"""Swaps as trades: what a pool gave and took, at an exact price."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from chaintide.streams import decimals
from chaintide.streams.batches import batch_of
from chaintide.streams.chain.records import ChainLog
from chaintide.streams.records import Market, TradeBatch

LOG_BITS: Final = 20
PRICE_DIGITS: Final = 18
MAX_BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class SwapForm:
    """Which event is a swap, and where its amounts are, as the pool sees them: in is positive.

    One name is a signed amount; of two the first came in and the second went out.
    """

    event: str
    base: tuple[str, ...]
    quote: tuple[str, ...]
    trader: str


OWN: Final = SwapForm("Swap", ("tokenAmount",), ("usdcAmount",), "user")


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as a market: ``base_scale`` and ``quote_scale`` are the decimals of its tokens."""

    market: Market
    base_scale: int
    quote_scale: int
    form: SwapForm = OWN


class SwapTrade(msgspec.Struct, frozen=True, gc=False):
    """One swap; price and size are ``(n, scale)``."""

    id: int
    time_us: int
    price: tuple[int, int]
    size: tuple[int, int]
    side: str
    trader: str


def trade_id(number: int, log_index: int) -> int:
    """Return the id of the trade at this place of its chain; later places have higher ids.

    >>> trade_id(7, 3)
    7340035
    """
    return number << LOG_BITS | log_index


def price_of(base: tuple[int, int], quote: tuple[int, int]) -> tuple[int, int]:
    """Return quote over base, half up to 18 significant digits and at most 40 decimal places.

    >>> price_of((3 * 10**18, 18), (10**6, 6))
    (333333333333333333, 18)
    """
    numerator, denominator = quote[0] * 10 ** base[1], base[0] * 10 ** quote[1]
    whole = numerator // denominator
    magnitude = len(str(whole)) if whole else -(len(str(denominator // numerator)) - 1)
    scale = min(decimals.MAX_SCALE, max(0, PRICE_DIGITS - magnitude))
    n = (2 * numerator * 10**scale + denominator) // (2 * denominator)
    while scale and n and n % 10 == 0:
        n, scale = n // 10, scale - 1
    return n, scale


def swap_of(log: ChainLog, pool: Pool) -> SwapTrade | None:
    """Return the trade that ``log`` is; None if it is none, or moved nothing on one side."""
    form = pool.form
    if log.event != form.event:
        return None
    try:
        base, quote = _amount(log, form.base), _amount(log, form.quote)
        trader = str(log.args[form.trader])
    except (KeyError, ValueError):
        return None
    if base * quote >= 0:
        return None
    size = (abs(base), pool.base_scale)
    price = price_of(size, (abs(quote), pool.quote_scale))
    if price[0] == 0:
        return None
    return SwapTrade(
        trade_id(log.number, log.log_index),
        log.time_ms * 1000,
        price,
        size,
        "b" if base < 0 else "s",
        trader,
    )


def batches_of(
    market: Market, trades: Sequence[SwapTrade], *, block: int | None, epoch: int
) -> Iterable[TradeBatch]:
    """Yield ``trades``, pending at ``block`` unless it is None, in batches."""
    for start in range(0, len(trades), MAX_BATCH):
        part = trades[start : start + MAX_BATCH]
        yield msgspec.structs.replace(
            batch_of(market, part),
            traders=[trade.trader for trade in part],
            block=block,
            epoch=epoch,
        )


def _amount(log: ChainLog, names: tuple[str, ...]) -> int:
    args = log.args
    if len(names) == 1:
        return int(args[names[0]])
    came_in, went_out = names
    return int(args[came_in]) - int(args[went_out])
