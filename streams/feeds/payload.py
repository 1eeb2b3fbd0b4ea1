"""What venues write: JSON of any quality, and times in two forms."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from chaintide.streams import codec
from chaintide.streams.errors import BadRecordError

if TYPE_CHECKING:
    import msgspec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_T = TypeVar("_T")


def decode(decoder: "msgspec.json.Decoder[_T]", payload: bytes) -> _T:
    """Return the message in ``payload``.

    Raises:
        BadRecordError: If it is not what ``decoder`` expects, however deep it nests.
    """
    try:
        return codec.decode(decoder, payload)
    except RecursionError as error:
        raise BadRecordError("malformed: nested too deeply") from error


def iso_time_us(text: str) -> int:
    """Return the time in ``text``, truncated to a microsecond.

    >>> iso_time_us("1970-01-01T00:00:01.2345679Z")
    1234567

    Raises:
        BadRecordError: If it is not an ISO 8601 time with a zone.
    """
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError) as error:
        raise BadRecordError(f"not a time: {text[:60]!r}") from error


def seconds_time_us(seconds: tuple[int, int]) -> int:
    """Return an exact number of seconds as whole microseconds, truncated.

    >>> seconds_time_us((17627954339717445, 7))
    1762795433971744
    """
    n, scale = seconds
    return int(n * 1_000_000 // 10**scale)
