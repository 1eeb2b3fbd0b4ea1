"""The tokens of pools, asked of the nodes of their chain; each token is asked once."""

from typing import Final

from chaintide.streams.chain.node import Node
from chaintide.streams.chain.pools import (
    Stranger,
    Token,
    address_in,
    call_of,
    scale_in,
    symbol_in,
)
from chaintide.streams.chain.rpc import RpcError
from chaintide.streams.errors import RetryableError

MAX_TOKENS: Final = 100_000


class Tokens:
    """What pools trade. At 100,000 tokens all are forgotten, and asked again when needed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[str, Token] = {}

    async def of(self, stranger: Stranger) -> tuple[Token, Token] | None:
        """Return the two tokens of a pool; None if it does not say which, or how to count them.

        Raises:
            RetryableError: If no node answers.
        """
        found: list[Token] = []
        for to, data in stranger.calls():
            address = address_in(await self._call(to, data, stranger))
            token = None if address is None else await self._token(address, stranger)
            if token is None:
                return None
            found.append(token)
        return found[0], found[1]

    async def _token(self, address: str, stranger: Stranger) -> Token | None:
        if (known := self._known.get(address)) is not None:
            return known
        scale = scale_in(await self._call(address, call_of("decimals()"), stranger))
        if scale is None:
            return None
        symbol = await self._call(address, call_of("symbol()"), stranger)
        if len(self._known) >= MAX_TOKENS:
            self._known.clear()
        token = self._known[address] = Token(address, symbol_in(symbol, address), scale)
        return token

    async def _call(self, to: str, data: str, stranger: Stranger) -> str:
        """Ask at the block of the trade, and at the head where nodes have forgotten that block.

        What a contract refuses to answer is "".
        """
        try:
            return await self._node.call(to, data, stranger.block_hash)
        except (RpcError, RetryableError):
            try:
                return await self._node.call(to, data, None)
            except RpcError:
                return ""
