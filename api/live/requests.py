"""What a client may ask, and why it may be refused.

A frame from a client is one JSON object. A frame that is no JSON closes the connection; JSON
that is no request is refused, and the refusal names the field. Unknown fields are refused.
"""

from enum import IntEnum
from typing import Annotated, Any, Final, Literal

import msgspec

MAX_BRACKETS: Final = 800  # a request for 128 channels, each resumed, has 259
Policy = Literal["latest", "buffer"]
RequestId = (
    Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    | Annotated[str, msgspec.Meta(max_length=64)]
)
ChannelName = Annotated[str, msgspec.Meta(min_length=1, max_length=192)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class ErrorCode(IntEnum):
    """The codes of refusals."""

    UNKNOWN_CHANNEL = 102
    UNKNOWN_OP = 104
    ALREADY_SUBSCRIBED = 105
    LIMIT_EXCEEDED = 106
    BAD_REQUEST = 107
    NOT_AVAILABLE = 108
    NOT_SUBSCRIBED = 113


class Resume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a client stopped: a position (``epoch``, ``seq``), or a time ``since_ms``.

    The time is compared with ``tp``; all that was published at it or later is sent again.
    """

    epoch: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    seq: Seq | None = None
    since_ms: Seq | None = None

    def __post_init__(self) -> None:
        by_seq = self.epoch is not None and self.seq is not None and self.since_ms is None
        by_time = self.epoch is None and self.seq is None and self.since_ms is not None
        if not by_seq and not by_time:
            raise ValueError("`resume` needs `epoch` and `seq`, or else `since_ms`")


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel to subscribe to.

    ``snapshot`` is how many entries to begin with, newest kept. With ``resume`` it is only how
    many to begin with if resuming is not possible. Under ``latest`` a client is sent the newest
    update of each key, under ``buffer`` every update. Updates are sent at most once in each
    1/``max_hz`` of a second.
    """

    ch: ChannelName
    snapshot: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    policy: Policy = "latest"
    max_hz: Annotated[float, msgspec.Meta(ge=0.01, le=100)] | None = None
    resume: Resume | None = None


class Subscribe(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="subscribe"
):
    """Subscribe to all of these channels, or to none if one of them is refused."""

    channels: Annotated[list[Wanted], msgspec.Meta(min_length=1)]
    id: RequestId | None = None


class Unsubscribe(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="unsubscribe"
):
    """Leave all of these channels, or none if one of them is not subscribed to."""

    channels: Annotated[list[ChannelName], msgspec.Meta(min_length=1)]
    id: RequestId | None = None


class ListSubscriptions(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="list"
):
    """Say what is subscribed to."""

    id: RequestId | None = None


class PingRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="ping"
):
    """Answer, for clients that cannot send ping frames."""

    id: RequestId | None = None


class Authenticate(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="auth"
):
    """Say who one is; public channels need nobody to."""

    token: str
    id: RequestId | None = None


Request = Subscribe | Unsubscribe | ListSubscriptions | PingRequest | Authenticate


class Refusal(msgspec.Struct, frozen=True):
    """Why a request was refused; nothing was changed."""

    id: int | str | None
    code: ErrorCode
    message: str


_IDS: Final[Any] = RequestId


def parse_request(data: str | bytes) -> Request | Refusal | None:
    """Return the request, or why it is none, or None if ``data`` is not even JSON.

    >>> parse_request('{"id": 5, "op": "ping"}')
    PingRequest(id=5)
    >>> parse_request('{"id": 5, "op": "ping", "x": 1}').message
    'Object contains unknown field `x`'
    >>> parse_request("{") is None
    True
    """
    if _is_deep(data):
        return None
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    try:
        request: Request = msgspec.convert(value, Request)
    except msgspec.ValidationError as error:
        return _refusal(value, str(error))
    return request


def _is_deep(data: str | bytes) -> bool:
    """Whether brackets could be nested so deep that decoding them overflows the stack."""
    if isinstance(data, str):
        data = data.encode("utf-8", "replace")
    return data.count(b"[") + data.count(b"{") > MAX_BRACKETS


def _refusal(value: Any, reason: str) -> Refusal:  # noqa: ANN401 - any JSON
    code = ErrorCode.UNKNOWN_OP if reason.endswith("`$.op`") else ErrorCode.BAD_REQUEST
    return Refusal(_request_id(value), code, reason)


def _request_id(value: Any) -> int | str | None:  # noqa: ANN401 - any JSON
    try:
        found: int | str = msgspec.convert(value["id"], _IDS)
    except (msgspec.ValidationError, TypeError, KeyError):
        return None
    return found
