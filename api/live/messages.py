"""What a client is sent: JSON objects, one a line, one or more lines a frame.

An answer has the ``id`` of its request. What comes by itself has a ``type``: ``snapshot``,
``update``, ``correction``, ``retraction``, ``hb``, ``slow`` or ``goaway``.
"""

from typing import Final, Literal

import msgspec

from chaintide.api.live.requests import Policy, Refusal
from chaintide.api.live.update import Snapshot, Update, UpdateType

_encode = msgspec.json.Encoder().encode


class Subscribed(msgspec.Struct, frozen=True):
    """The answer for one channel; what follows is all that came after ``seq``.

    ``recovered`` is true if the client misses nothing since the position it resumed from, false
    if it must take the snapshot that follows for all there is, and null if it did not resume.
    """

    ch: str
    epoch: str
    seq: int
    recovered: bool | None


class Listed(msgspec.Struct, frozen=True):
    """One subscription as it stands; everything up to ``seq`` has been sent."""

    ch: str
    epoch: str
    seq: int
    policy: Policy
    max_hz: float | None


class Left(msgspec.Struct, frozen=True):
    """A subscription that ended; it can be resumed from ``seq``, which is 0 if it had not begun."""

    ch: str
    epoch: str
    seq: int


class Answer(msgspec.Struct, frozen=True):
    """The answer to a request about channels that was granted."""

    id: int | str | None
    results: list[Subscribed] | list[Listed] | list[Left]
    ok: Literal[True] = True


class Pong(msgspec.Struct, frozen=True):
    """The answer to ``ping``; ``t`` is the wall clock of the server, in milliseconds."""

    id: int | str | None
    t: int
    ok: Literal[True] = True


class ErrorBody(msgspec.Struct, frozen=True):
    """Why not; ``temporary`` asks to try again, which none of the codes does yet."""

    code: int
    message: str
    temporary: bool = False


class Refused(msgspec.Struct, frozen=True):
    """The answer to a request that was refused; nothing was changed."""

    id: int | str | None
    error: ErrorBody
    ok: Literal[False] = False


class SnapshotMessage(msgspec.Struct, frozen=True):
    """All there is of a channel, up to ``seq``: what the client had of it is void.

    ``recovered`` is false if it stands for updates that the client will not get: it could not
    resume, or has fallen behind what is kept; else null. There is no ``prev`` to follow.
    """

    ch: str
    seq: int
    recovered: Literal[False] | None
    data: list[msgspec.Raw]
    type: Literal["snapshot"] = "snapshot"
    prev: None = None
    conflated: None = None


class UpdateMessage(msgspec.Struct, frozen=True):
    """One update, a ``correction`` of what was closed, or a ``retraction`` of what was said.

    A retraction is never left out. ``prev`` is the seq of what the client had of the channel
    until then. ``conflated`` updates between ``prev`` and ``seq`` were left out, because a later
    one says the same and more; under ``buffer`` it is always 0. A ``prev`` that is not the seq
    which the client has is a loss, and none ever is. ``te`` is event time, ``tp`` when it was
    published.
    """

    ch: str
    type: UpdateType
    seq: int
    prev: int
    conflated: int
    te: int
    tp: int
    data: msgspec.Raw


class Goaway(msgspec.Struct, frozen=True):
    """The connection will be closed soon; connect again after a random time in this range."""

    reason: str
    retry_after_ms: tuple[int, int]
    type: Literal["goaway"] = "goaway"


class Heartbeat(msgspec.Struct, frozen=True):
    """Nothing was sent for 15 s, and all is well; ``t`` is as in ``Pong``."""

    t: int
    type: Literal["hb"] = "hb"


class Slow(msgspec.Struct, frozen=True):
    """The client has not read what it asked for in time; close 3008 follows."""

    type: Literal["slow"] = "slow"


SLOW_MESSAGE: Final = _encode(Slow())
Message = Answer | Pong | Goaway | Heartbeat


def encoded(message: Message) -> bytes:
    """Return a message as one line.

    >>> encoded(Goaway("shutdown", (500, 8000)))
    b'{"reason":"shutdown","retry_after_ms":[500,8000],"type":"goaway"}'
    """
    return _encode(message)


def encoded_refusal(refusal: Refusal) -> bytes:
    """Return the answer to a request that was refused."""
    code = refusal.code
    body = ErrorBody(int(code), refusal.message)
    return _encode(Refused(refusal.id, body))


def encoded_snapshot(
    channel: str, snapshot: Snapshot, *, recovered: Literal[False] | None
) -> bytes:
    """Return a snapshot as one line."""
    data = [msgspec.Raw(entry) for entry in snapshot.data]
    return _encode(SnapshotMessage(channel, snapshot.seq, recovered, data))


def encoded_update(update: Update, *, prev: int, conflated: int, now_ms: int = 0) -> bytes:
    """Return an update as one line that is sent ``now_ms``."""
    return _encode(
        UpdateMessage(
            update.channel,
            update.type,
            update.seq,
            prev,
            conflated,
            update.event_ms,
            update.published_ms,
            msgspec.Raw(update.data_at(now_ms)),
        )
    )
