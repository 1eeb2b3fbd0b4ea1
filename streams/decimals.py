"""Exact numbers: decimal strings outside, scaled integers inside, never binary floats."""

import re
from typing import Final

from chaintide.streams.errors import BadRecordError

_DECIMAL: Final = re.compile(r"(-?)([0-9]{1,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,3}))?")
MAX_SCALE: Final = 40


def parse(text: str) -> tuple[int, int]:
    """Return ``(n, scale)`` with ``n / 10**scale`` equal to ``text``, trailing zeros dropped.

    >>> parse("105433.60000")
    (1054336, 1)
    >>> parse("1e-8"), parse("120")
    ((1, 8), (120, 0))

    Raises:
        BadRecordError: If ``text`` is not a finite decimal number of at most 40 places.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise BadRecordError(f"not a decimal number: {text[:60]!r}")
    sign, whole, places, exponent = match.groups(default="")
    places = places.rstrip("0")
    scale = len(places) - int(exponent or 0)
    n = int(f"{sign}{whole}{places}")
    if scale < 0:
        n, scale = n * 10**-scale, 0
    while scale and n % 10 == 0:
        n, scale = n // 10, scale - 1
    if scale > MAX_SCALE or abs(n) >= 10**60:
        raise BadRecordError(f"number out of range: {text[:60]!r}")
    return n, scale


def align(numbers: list[tuple[int, int]]) -> tuple[list[int], int]:
    """Return the numbers as integers at their largest scale, and that scale.

    >>> align([(15, 1), (2, 0)])
    ([15, 20], 1)
    """
    scale = max((s for _, s in numbers), default=0)
    return [n if s == scale else n * 10 ** (scale - s) for n, s in numbers], scale


def text(n: int, scale: int) -> str:
    """Return the shortest plain decimal string of ``n / 10**scale``.

    >>> text(1054336, 1), text(-5, 3), text(1200, 2)
    ('105433.6', '-0.005', '12')
    """
    if scale == 0:
        return str(n)
    digits = str(abs(n)).rjust(scale + 1, "0")
    places = digits[-scale:].rstrip("0")
    sign = "-" if n < 0 else ""
    return f"{sign}{digits[:-scale]}.{places}" if places else f"{sign}{digits[:-scale]}"
