"""Numbers as people read them; never what is computed with."""

from decimal import Decimal
from typing import Final

EXACT_PLACES: Final = 8  # no venue has more; prices of pools have all there are
DIGITS: Final = 7


def brief(number: str) -> str:
    """Return a decimal in full, or to seven digits where a pool divides.

    >>> brief("105932.8"), brief("0.121227985619698548"), brief("1234567.123456789")
    ('105932.8', '0.1212280', '1234567.12')
    """
    value = Decimal(number)
    if len(number.partition(".")[2]) <= EXACT_PLACES or not value:
        return number
    return f"{value:.{max(2, DIGITS - 1 - value.adjusted())}f}"


def counted(count: int, thing: str) -> str:
    """Return how many there are of a thing.

    >>> counted(1, "trade"), counted(1200, "trade")
    ('1 trade', '1,200 trades')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
