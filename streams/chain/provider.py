"""The way to one node over HTTP: web3.py's provider with connections of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import (
    ClientConnectorError,
    ClientOSError,
    ClientSession,
    ServerDisconnectedError,
    TCPConnector,
)
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint, RPCResponse


class Answer(msgspec.Struct, frozen=True):
    """The answer of a node to one call."""

    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Any = None


_answer = msgspec.json.Decoder(Answer)
_answers: msgspec.json.Decoder[Answer | list[Answer]] = msgspec.json.Decoder(Answer | list[Answer])


class Provider(AsyncHTTPProvider):
    """Web3.py's provider, with results left for whoever knows their shape.

    It has sessions of its own. Web3.py's are behind one lock of the whole process, which is never
    given back when a call is cancelled while it waits for it.
    """

    def __init__(self, url: str, options: Mapping[str, object]) -> None:
        super().__init__(url, dict(options), exception_retry_configuration=None)
        self._sessions: dict[bool, ClientSession] = {}

    async def disconnect(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    async def ask_many(
        self, method: str, many: Sequence[Sequence[object]]
    ) -> Answer | list[Answer]:
        """Return the answers to a batch, in any order, or the one that says why there is none."""
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": method, "params": params}
            for n, params in enumerate(many)
        ]
        request = msgspec.json.encode(calls)
        return _answers.decode(await self._make_request(RPCEndpoint(method), request))

    async def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:  # noqa: ARG002
        """Ask over a connection that is kept, and if there is no answer once more over a new one.

        Nodes close what is kept whenever they like. Calls only read: they can be repeated.
        """
        try:
            return await self._post(self._session(is_kept=True), request_data)
        except ClientConnectorError:
            raise
        except (ClientOSError, ServerDisconnectedError):
            return await self._post(self._session(is_kept=False), request_data)

    async def _post(self, session: ClientSession, request: bytes) -> bytes:
        options = self.get_request_kwargs()
        async with session.post(str(self.endpoint_uri), data=request, **options) as response:
            return await response.read()

    def _session(self, *, is_kept: bool) -> ClientSession:
        if is_kept not in self._sessions:
            connector = TCPConnector(force_close=not is_kept)
            self._sessions[is_kept] = ClientSession(raise_for_status=True, connector=connector)
        return self._sessions[is_kept]

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        """Return the answer, its result not decoded."""
        return {"result": _answer.decode(raw_response)}
