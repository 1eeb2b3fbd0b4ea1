"""Where a page ends, as a token that a client can neither read usefully nor change."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

_MAC_BYTES: Final = 12
_TIME_BYTES: Final = 8


class CursorError(ValueError):
    """A cursor is not ours, or belongs to other parameters."""


def seal(key: bytes, scope: str, time_ms: int) -> str:
    """Return a cursor for ``time_ms``, valid only together with ``scope``.

    >>> cursor = seal(b"secret", "1m", 60_000)
    >>> unseal(b"secret", "1m", cursor)
    60000
    """
    place = time_ms.to_bytes(_TIME_BYTES, signed=True)
    return urlsafe_b64encode(place + _mac(key, scope, place)).rstrip(b"=").decode()


def unseal(key: bytes, scope: str, cursor: str) -> int:
    """Return the time in ``cursor``.

    Raises:
        CursorError: If ``seal`` did not make it with this key and scope.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError as error:
        raise CursorError("no cursor of ours") from error
    place, mac = raw[:_TIME_BYTES], raw[_TIME_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, scope, place)):
        raise CursorError("no cursor of ours, or one of other parameters")
    return int.from_bytes(place, signed=True)


def _mac(key: bytes, scope: str, place: bytes) -> bytes:
    return hmac.digest(key, place + scope.encode(), sha256)[:_MAC_BYTES]
