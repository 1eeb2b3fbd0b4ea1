"""What every request passes: its id, its allowance, the headers of its answer, its log line."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import cramjam
import structlog

from chaintide.api.rest import problems
from chaintide.api.rest.allowance import Allowance, Verdict
from chaintide.api.rest.metrics import Metrics

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

REQUEST_ID: Final = "chaintide.request_id"
FREE: Final = frozenset({"/healthz", "/readyz", "/metrics"})
KLINES: Final = "/api/v3/klines"
COMPRESS_FROM_BYTES: Final = 1_024
COMPRESSION_LEVEL: Final = 1
SLOW_S: Final = 1.0
_OK_ID: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)
# For a page with scripts and styles of its own, nothing inline, nothing from elsewhere.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", _POLICY),
]
_EXPOSED: Final = b"ETag, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
logger: Any = structlog.get_logger("chaintide.http")


@dataclass(slots=True)
class Exchange:
    """One request and what has become of it."""

    scope: Scope
    headers: dict[bytes, bytes]
    request_id: str
    began_s: float
    status: int = 0
    is_started: bool = False

    @property
    def accepts_gzip(self) -> bool:
        """Whether the answer may be compressed."""
        names = self.headers.get(b"accept-encoding", b"").lower().split(b",")
        return any(
            part.split(b";")[0].strip() == b"gzip" and b"q=0" not in part.replace(b"q=0.", b"")
            for part in names
        )

    @property
    def route(self) -> str:
        """The template of the path, or ``unmatched``: labels must be few."""
        return str(getattr(self.scope.get("route"), "path", "unmatched"))


class Edge:
    """Wraps an ASGI app; nothing that goes wrong inside leaves it unanswered."""

    def __init__(
        self,
        app: App,
        *,
        metrics: Metrics,
        allowance: Allowance | None,
        origins: frozenset[str],
        clock: tuple[Callable[[], int], Callable[[], float]],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._allowance = allowance
        self._origins = {origin.encode() for origin in origins}
        self._now_ms, self._monotonic_s = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand over what is no request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _OK_ID.fullmatch(given) else uuid4().hex
        exchange = Exchange(scope, headers, request_id, self._monotonic_s())
        scope[REQUEST_ID] = request_id
        verdict = self._verdict(scope)
        answer = _Answer(exchange, self._headers(exchange, verdict), send)
        try:
            if _is_preflight(exchange):
                await answer.whole(204, self._preflight(headers), b"")
            elif verdict is not None and not verdict.is_allowed:
                await _refuse(exchange, verdict, answer)
            else:
                await self._app(scope, receive, answer)
        except Exception as error:  # the last place that can answer
            await self._fail(exchange, answer, error)
        self._note(exchange)

    def _verdict(self, scope: Scope) -> Verdict | None:
        if self._allowance is None or scope["path"] in FREE:
            return None
        client = scope.get("client") or ("unknown", 0)
        return self._allowance.spend(client[0], now_ms=self._now_ms())

    def _headers(self, exchange: Exchange, verdict: Verdict | None) -> Headers:
        added = [(b"x-request-id", exchange.request_id.encode()), *_SECURITY]
        if verdict is not None:
            added += [
                (b"ratelimit-policy", b"%d;w=60" % verdict.limit),
                (b"ratelimit-limit", b"%d" % verdict.limit),
                (b"ratelimit-remaining", b"%d" % verdict.remaining),
                (b"ratelimit-reset", b"%d" % verdict.reset_s),
            ]
        if self._origins:
            added.append((b"vary", b"Origin"))
            if (origin := exchange.headers.get(b"origin", b"")) in self._origins:
                added.append((b"access-control-allow-origin", origin))
                added.append((b"access-control-expose-headers", _EXPOSED))
        return added

    def _preflight(self, headers: dict[bytes, bytes]) -> Headers:
        if headers.get(b"origin", b"") not in self._origins:
            return []
        return [
            (b"access-control-allow-methods", b"GET"),
            (b"access-control-allow-headers", b"X-Request-Id, If-None-Match"),
            (b"access-control-max-age", b"600"),
        ]

    async def _fail(self, exchange: Exchange, answer: "_Answer", error: Exception) -> None:
        logger.error("request failed", request_id=exchange.request_id, exc_info=error)
        if not exchange.is_started:
            body = problems.body(500, "a fault of this program", exchange.request_id)
            await answer.whole(500, [(b"content-type", problems.MEDIA_TYPE.encode())], body)

    def _note(self, exchange: Exchange) -> None:
        seconds = self._monotonic_s() - exchange.began_s
        method, status = exchange.scope["method"], exchange.status
        self._metrics.on_request(exchange.route, method, status, seconds)
        is_usual = status < 400 and seconds < SLOW_S
        (logger.debug if is_usual else logger.info)(
            "request",
            request_id=exchange.request_id,
            method=method,
            path=exchange.scope["path"],
            status=status,
            duration_ms=round(seconds * 1000, 2),
            client=(exchange.scope.get("client") or ("unknown",))[0],
        )


class _Answer:
    """Sends an answer with more headers, and compressed if it is worth it."""

    def __init__(self, exchange: Exchange, added: Headers, send: Send) -> None:
        self._exchange = exchange
        self._added = added
        self._send = send
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            message["headers"] = [*message["headers"], *self._added]
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body", False):
                message["body"] = self._compressed(start, message.get("body", b""))
            self._exchange.is_started = True
            await self._send(start)
        await self._send(message)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a short answer."""
        length = [(b"content-length", b"%d" % len(body))] if status != 204 else []
        await self({"type": "http.response.start", "status": status, "headers": headers + length})
        await self({"type": "http.response.body", "body": body})

    def _compressed(self, start: Message, body: bytes) -> bytes:
        start["headers"].append((b"vary", b"Accept-Encoding"))
        if len(body) < COMPRESS_FROM_BYTES or not self._exchange.accepts_gzip:
            return body
        packed = bytes(cramjam.gzip.compress(body, COMPRESSION_LEVEL))
        kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        size = (b"content-length", b"%d" % len(packed))
        start["headers"] = [*kept, (b"content-encoding", b"gzip"), size]
        return packed


def _is_preflight(exchange: Exchange) -> bool:
    asks = b"origin" in exchange.headers and b"access-control-request-method" in exchange.headers
    return asks and exchange.scope["method"] == "OPTIONS"


async def _refuse(exchange: Exchange, verdict: Verdict, answer: _Answer) -> None:
    detail = f"more than {verdict.limit} requests a minute"
    body, kind = problems.body(429, detail, exchange.request_id), problems.MEDIA_TYPE
    if exchange.scope["path"] == KLINES:
        body, kind = b'{"code":-1003,"msg":"Too many requests."}', "application/json"
    headers = [(b"content-type", kind.encode()), (b"retry-after", b"%d" % verdict.retry_after_s)]
    await answer.whole(429, headers, body)
