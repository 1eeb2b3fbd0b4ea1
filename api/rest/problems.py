"""Errors as clients see them: problem details, RFC 9457."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer that is no success; ``request_id`` is in the log too."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, str]] = []


class ProblemError(Exception):
    """A request cannot be answered as it was asked; ``errors`` says what is wrong where."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after_s: int | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.errors = errors or []


def body(
    status: int, detail: str, request_id: str, members: Mapping[str, Any] | None = None
) -> bytes:
    """Return the body of a problem.

    >>> body(404, "no market x:Y", "r1")[:60]
    b'{"type":"about:blank","title":"Not Found","status":404,"deta'
    """
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return msgspec.json.encode(problem | dict(members or {}))
