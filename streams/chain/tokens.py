"""The tokens of pools, asked of the nodes of their chain; each token is asked once."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from chaintide.streams.chain.node import Node
from chaintide.streams.chain.pools import (
    Pools,
    Stranger,
    Token,
    address_in,
    call_of,
    scale_in,
    symbol_in,
)
from chaintide.streams.chain.publishing import Publishing, Reading
from chaintide.streams.chain.records import Alias
from chaintide.streams.chain.rpc import RpcError
from chaintide.streams.errors import RetryableError

logger = logging.getLogger(__name__)
AGAIN_S: Final = 1.0
AT_ONCE: Final = 16  # pools whose tokens are asked for at the same time


class Tokens:
    """What pools trade."""

    def __init__(self, node: Node, pools: Pools) -> None:
        self._node = node
        self._pools = pools

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
        if (known := self._pools.tokens.get(address)) is not None:
            return known
        scale = scale_in(await self._call(address, call_of("decimals()"), stranger))
        if scale is None:
            return None
        symbol = await self._call(address, call_of("symbol()"), stranger)
        token = Token(address, symbol_in(symbol, address), scale)
        self._pools.learn_token(stranger, token)
        return token

    async def _call(self, to: str, data: str, stranger: Stranger) -> str:
        """Ask at the block of the trade, and at the head where nodes have forgotten that block.

        What a contract itself does not answer is "".

        Raises:
            RetryableError: If no node lets the contract answer.
        """
        try:
            return await self._node.call(to, data, stranger.block_hash)
        except (RpcError, RetryableError):
            try:
                return await self._node.call(to, data, None)
            except RpcError as error:
                if error.complaint == "reverted":
                    return ""
                raise RetryableError(f"{to} is not asked: {error}") from error


class Learning:
    """What has to be known of pools before their trades can be written."""

    def __init__(
        self, tokens: Tokens, publishing: Publishing, note: Callable[[Exception], None]
    ) -> None:
        self._tokens = tokens
        self._publishing = publishing
        self._note = note

    async def learn(self, reading: Reading) -> list[Alias]:
        """Learn the pools that trade in ``reading`` for the first time; return their names.

        While no node answers it waits, and tells ``note`` why: a block has to be written whole.
        """
        strangers = self._publishing.strangers(reading)
        aliases: list[Alias] = []
        for start in range(0, len(strangers), AT_ONCE):
            some = strangers[start : start + AT_ONCE]
            pairs = await asyncio.gather(*[self._of(stranger) for stranger in some])
            for stranger, pair in zip(some, pairs, strict=True):
                alias = self._publishing.pools.learn(stranger, pair)
                if alias is not None:
                    aliases.append(alias)
                else:
                    logger.warning("pool without tokens stream=%s", stranger.stream)
        return aliases

    async def _of(self, stranger: Stranger) -> tuple[Token, Token] | None:
        while True:
            try:
                return await self._tokens.of(stranger)
            except RetryableError as error:
                self._note(error)
            await asyncio.sleep(AGAIN_S)
