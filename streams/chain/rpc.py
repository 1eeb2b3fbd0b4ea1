"""Calls to the nodes of one chain over web3.py, which fail over from one endpoint to the next."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import ClientError, ClientResponseError, ClientTimeout
from web3.types import RPCEndpoint

from chaintide.streams.chain.endpoints import Complaint, Endpoint, Endpoints, complaint_of
from chaintide.streams.chain.provider import Answer, Provider
from chaintide.streams.errors import ChaintideError, FatalError, RetryableError

logger = logging.getLogger(__name__)
TIMEOUT_S: Final = 10.0
_BATCHES: Final = "batches"
_T = TypeVar("_T")
_FAILURES: Final = (ClientError, TimeoutError, OSError, msgspec.DecodeError, ValueError)


class RpcError(ChaintideError):
    """A node answered with an error that another node would give too."""

    def __init__(self, complaint: Complaint, message: str) -> None:
        super().__init__(message)
        self.complaint = complaint


class RestingError(RetryableError):
    """No endpoint was asked: all of them are left alone for a while."""


class Rpc:
    """The endpoints of one chain as one node.

    An endpoint that times out, answers 429 or 5xx or says that it is too busy is passed over; after
    five failures it is left alone for 30 s. One of another chain is never asked again.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int,
        now_ms: Callable[[], int],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.chain_id = chain_id
        self.endpoints = Endpoints([Endpoint(url) for url in urls])
        self._now_ms = now_ms
        options = {"timeout": ClientTimeout(total=timeout_s)}
        self._providers = {url: Provider(url, options) for url in urls}

    async def call(self, method: str, *params: object) -> Any:  # noqa: ANN401  JSON
        """Return the result of ``method``, as ``read`` does, decoded.

        Raises:
            RpcError: If the call itself is refused.
            RetryableError: If no endpoint answers.
            FatalError: If every endpoint is of another chain.
        """
        try:
            return msgspec.json.decode(await self.read(method, *params))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RetryableError(f"not an answer to {method}: {error}") from error

    async def read(self, method: str, *params: object) -> msgspec.Raw:
        """Return the result of ``method`` from the first endpoint that gives one, as JSON.

        Raises:
            RpcError: If the call itself is refused.
            RetryableError: If no endpoint answers.
            FatalError: If every endpoint is of another chain.
        """
        what, last = _what(method, params), ""
        order = self.endpoints.order(now_ms=self._now_ms())
        for endpoint in order:
            if endpoint.lacks(what, now_ms=self._now_ms()):
                continue
            told = await self._try(endpoint, what, partial(self._ask, endpoint, method, params))
            if not isinstance(told, str):
                return told
            last = told or last
        if all(endpoint.is_foreign for endpoint in self.endpoints.all):
            raise FatalError(f"no endpoint is of chain id {self.chain_id}: {last}")
        if not order:
            raise RestingError(f"no endpoint answers {method}: every endpoint is resting")
        if not last:
            raise RpcError("unknown method", f"no such method: no endpoint knows {what}")
        raise RetryableError(f"no endpoint answers {method}: {last}")

    async def read_many(self, method: str, many: Sequence[Sequence[object]]) -> list[msgspec.Raw]:
        """Return the results of several calls of ``method``, as ``read`` does, in their order.

        They are one question where an endpoint takes batches; what that leaves open is asked for
        one by one.

        Raises:
            RpcError: If a call itself is refused.
            RetryableError: If no endpoint answers.
            FatalError: If every endpoint is of another chain.
        """
        told = await self._batch(method, many)
        return [
            await self.read(method, *params) if result is None else result
            for params, result in zip(many, told, strict=True)
        ]

    async def _batch(
        self, method: str, many: Sequence[Sequence[object]]
    ) -> list[msgspec.Raw | None]:
        now_ms = self._now_ms()
        for endpoint in self.endpoints.order(now_ms=now_ms):
            if endpoint.lacks(_BATCHES, now_ms=now_ms):
                continue
            ask = partial(self._ask_many, endpoint, method, many)
            told = await self._try(endpoint, _BATCHES, ask)
            if not isinstance(told, str):
                return told
        return [None] * len(many)

    def elsewhere(self, since: Endpoint | None = None) -> None:
        """Ask another endpoint from now on: the last one's answer was not believed.

        Not if another one than ``since`` is asked already: many questions may have been out.
        """
        if since is None or since is self.endpoints.first:
            self.endpoints.rotate()

    async def close(self) -> None:
        """Close all connections."""
        for provider in self._providers.values():
            await provider.disconnect()

    async def _try(
        self, endpoint: Endpoint, what: str, ask: Callable[[], Awaitable[_T]]
    ) -> _T | str:
        """Return the answer of one endpoint, or what went wrong; "" if it lacks ``what``."""
        fault, outages = "", endpoint.outages
        try:
            await self._check(endpoint)
            result = await ask()
        except RetryableError as error:
            fault = f"{endpoint.url}: {error}"
            self.endpoints.on_failure(endpoint, outages, now_ms=self._now_ms())
            logger.warning("endpoint failed method=%s error=%s", what, fault)
        except RpcError as error:
            if error.complaint != "unknown method":
                raise
            endpoint.on_lack(what, now_ms=self._now_ms())
            logger.warning("endpoint %s lacks %s: %s", endpoint.url, what, error)
        except FatalError as error:
            fault = str(error)
            logger.error("endpoint of another chain %s", fault)  # noqa: TRY400
        else:
            endpoint.breaker.on_success()
            return result
        return fault

    async def _check(self, endpoint: Endpoint) -> None:
        if endpoint.is_checked:
            return
        told = _number_in(await self._ask(endpoint, "eth_chainId", ()))
        if told != self.chain_id:
            endpoint.is_foreign = True
            raise FatalError(f"url={endpoint.url} chain_id={told} expected={self.chain_id}")
        endpoint.is_checked = True

    async def _ask(self, endpoint: Endpoint, method: str, params: Sequence[object]) -> msgspec.Raw:
        provider = self._providers[endpoint.url]
        try:
            answer: Any = await provider.make_request(RPCEndpoint(method), list(params))
        except _FAILURES as error:
            raise RetryableError(f"{type(error).__name__} {error}") from error
        return _result(method, params, answer["result"])

    async def _ask_many(
        self, endpoint: Endpoint, method: str, many: Sequence[Sequence[object]]
    ) -> list[msgspec.Raw | None]:
        """Return the results of a batch; None where there is an error instead.

        Nodes refuse batches, or as large ones, in any way they like, so a refusal says nothing more
        than that there are no batches. Some only never answer.
        """
        try:
            told = await self._providers[endpoint.url].ask_many(method, many)
        except _FAILURES as error:
            if _is_refusal(error):
                raise RpcError("unknown method", f"{type(error).__name__} {error}") from error
            raise RetryableError(f"{type(error).__name__} {error}") from error
        if isinstance(told, Answer):
            raise RpcError("unknown method", str(told.error))
        results = {one.id: one.result for one in told if one.error is None}
        found = [results.get(n) for n in range(len(many))]
        return [raw if isinstance(raw, msgspec.Raw) else None for raw in found]


def _result(method: str, params: Sequence[object], told: Answer) -> msgspec.Raw:
    if told.error is None:
        if isinstance(told.result, msgspec.UnsetType):
            raise RetryableError(f"not an answer to {method}")
        return told.result
    fault = told.error if isinstance(told.error, dict) else {"message": str(told.error)}
    message = str(fault.get("message", ""))
    code = fault.get("code", 0)
    complaint = complaint_of(code if isinstance(code, int) else 0, message)
    if complaint == "refused" and _is_of_final(params):
        complaint = "unknown method"  # of a tag; each kind of node says so in its own words
    if complaint == "elsewhere":
        raise RetryableError(message)
    raise RpcError(complaint, message)


def _is_refusal(error: Exception) -> bool:
    if isinstance(error, ClientResponseError):
        return 400 <= error.status < 500 and error.status != 429
    return isinstance(error, TimeoutError)


def _is_of_final(params: Sequence[object]) -> bool:
    return params[:1] == ("finalized",)


def _what(method: str, params: Sequence[object]) -> str:
    return f"{method} of finalized" if _is_of_final(params) else method


def _number_in(answer: msgspec.Raw) -> int:
    try:
        return int(msgspec.json.decode(answer, type=str), 16)
    except (msgspec.DecodeError, ValueError) as error:
        raise RetryableError(f"not a number: {error}") from error
