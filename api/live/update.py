"""What the hub is fed with, and where it asks for the whole."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec

_STATUS: Final = re.compile(rb'("status"\s*:\s*")[a-z]+')
UpdateType = Literal["update", "correction", "retraction"]


class Update(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One change in one channel.

    ``seq`` is its place in the log, ``(offset + 1) * 1000 + place in the record``: above 0, rising
    strictly within a channel and is the same in every process that reads the log. ``key`` is what
    conflation goes by: of two updates with one key the later says all that the earlier said (a
    candle's open time; the same key for all of a ticker). A ``correction`` changes what was
    closed, a ``retraction`` takes back what earlier updates said. ``event_ms`` is event time,
    ``published_ms`` the log's own time of the record. ``data`` is JSON without a line break;
    what expires has a ``status``, each of a list has, and whoever is sent it from ``expires_ms`` on
    is told so.
    """

    channel: str
    seq: int
    key: str | int
    type: UpdateType
    event_ms: int
    published_ms: int
    data: bytes
    expires_ms: int | None = None

    def data_at(self, now_ms: int) -> bytes:
        """Return ``data`` as it is to be told ``now_ms``.

        >>> one = Update(channel="c", seq=1, key=1, type="update", event_ms=0, published_ms=0,
        ...     data=b'{"p":0.5,"status":"issued"}', expires_ms=60_000)
        >>> one.data_at(59_999), one.data_at(60_000)
        (b'{"p":0.5,"status":"issued"}', b'{"p":0.5,"status":"expired"}')
        """
        if self.expires_ms is None or now_ms < self.expires_ms:
            return self.data
        return _STATUS.sub(rb"\1expired", self.data)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The newest entries of a channel, oldest first, each as JSON without a line break.

    It holds the effect of every update up to ``seq`` and of none after. ``seq`` is 0 if this
    process has read none yet: what came before it began may be in, but at no known place, and
    nobody can resume. ``is_short`` says that
    older entries were asked for than are at hand, and that a store may have them.
    """

    seq: int
    data: list[bytes]
    is_short: bool = False


class Snapshots(Protocol):
    """What a channel is as a whole."""

    def snapshot(self, channel: str, count: int) -> Snapshot | None:
        """Return at most ``count`` entries, or None if there is no such channel.

        Its ``seq`` is never less than that of an update which was published in the channel.
        """
        ...
