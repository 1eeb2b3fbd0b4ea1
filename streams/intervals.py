"""The seven candle intervals and where their windows begin."""

from typing import Final, Literal, get_args

Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d", "1w"]

INTERVALS: Final[tuple[Interval, ...]] = get_args(Interval)
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WIDTH_MS: Final[dict[Interval, int]] = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "1d": DAY_MS,
    "1w": 7 * DAY_MS,
}
# The epoch was a Thursday; weeks start on Monday.
ORIGIN_MS: Final[dict[Interval, int]] = {i: 4 * DAY_MS if i == "1w" else 0 for i in INTERVALS}


def open_time_ms(time_ms: int, interval: Interval) -> int:
    """Return the open time of the window that holds ``time_ms``.

    >>> open_time_ms(61_500, "1m")
    60000
    >>> open_time_ms(345_599_999, "1w")  # Sunday 1970-01-04, 23:59:59.999
    -259200000
    >>> open_time_ms(345_600_000, "1w")  # Monday 1970-01-05
    345600000
    """
    return time_ms - (time_ms - ORIGIN_MS[interval]) % WIDTH_MS[interval]
