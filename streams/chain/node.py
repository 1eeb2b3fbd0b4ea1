"""What a follower wants to know, asked of the nodes of its chain."""

from collections.abc import Sequence

import msgspec

from chaintide.streams.chain.blocks import Header, RawLog, header_in, header_of, logs_in
from chaintide.streams.chain.follower import ChainRules, Follower
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.receipts import receipts_in, receipts_root
from chaintide.streams.chain.rpc import Rpc, RpcError
from chaintide.streams.chain.steps import Ask, HeaderAt, HeaderOf, LogsOf, Step
from chaintide.streams.errors import BadRecordError


class Node:
    """The endpoints of a chain, in a follower's words."""

    def __init__(self, rpc: Rpc, rules: ChainRules) -> None:
        self.rpc = rpc
        self.rules = rules

    async def head(self) -> Header:
        """Return the newest block."""
        return self._plain(header_of(await self.rpc.call("eth_getBlockByNumber", "latest", False)))  # noqa: FBT003

    async def finalized(self) -> Header | None:
        """Return the last final block; None if nodes of this chain do not know of such."""
        try:
            raw = await self.rpc.call("eth_getBlockByNumber", "finalized", False)  # noqa: FBT003
        except RpcError as error:
            if error.complaint != "unknown method":
                raise
            return None
        return self._told(None if raw is None else header_of(raw))

    async def header_at(self, number: int) -> Header | None:
        """Return the block of this number."""
        raw = await self.rpc.call("eth_getBlockByNumber", hex(number), False)  # noqa: FBT003
        return self._told(None if raw is None else header_of(raw))

    async def headers_at(self, numbers: Sequence[int]) -> list[Header | None]:
        """Return the blocks of these numbers."""
        many = [(hex(number), False) for number in numbers]
        told = await self.rpc.read_many("eth_getBlockByNumber", many)
        return [self._told(header_in(raw)) for raw in told]

    async def header_with(self, block_hash: str) -> Header | None:
        """Return the block of this hash."""
        raw = await self.rpc.call("eth_getBlockByHash", block_hash, False)  # noqa: FBT003
        return self._told(None if raw is None else header_of(raw))

    def _told(self, header: Header | None) -> Header | None:
        return None if header is None else self._plain(header)

    def _plain(self, header: Header) -> Header:
        """Return ``header`` with no other claims than this chain makes."""
        return header if self.rules.has_hashes else msgspec.structs.replace(header, sealed="")

    async def answer(self, follower: Follower, ask: Ask) -> list[Step]:
        """Ask the nodes and tell the follower; what they say nonsense about counts as unknown."""
        try:
            return await self._answer(follower, ask)
        except BadRecordError:
            match ask:
                case LogsOf():
                    return follower.on_logs(ask, None)
                case _:
                    return follower.on_header(ask, None)

    async def _answer(self, follower: Follower, ask: Ask) -> list[Step]:
        match ask:
            case HeaderAt(number, again):
                if again:
                    self.rpc.elsewhere()
                return follower.on_header(ask, await self.header_at(number))
            case HeaderOf(block_hash):
                return follower.on_header(ask, await self.header_with(block_hash))
            case LogsOf(header):
                logs, root = await self.logs_of(header)
                return follower.on_logs(ask, logs, root)

    async def logs_of(self, header: Header) -> tuple[list[RawLog] | None, str]:
        """Return all logs of a block, None if no node has it.

        With them comes the root of the receipts that hold them, "" if nodes do not give receipts.
        """
        if self.rules.has_receipts and header.receipts_root:
            try:
                raw = await self.rpc.read("eth_getBlockReceipts", header.hash)
            except RpcError as error:
                if error.complaint != "unknown method":
                    raise
            else:
                if (receipts := receipts_in(raw)) is None:
                    return None, ""
                logs = [log for receipt in receipts for log in receipt.logs]
                return logs, receipts_root(receipts)
        try:
            raw = await self.rpc.read("eth_getLogs", {"blockHash": header.hash})
        except RpcError:
            return None, ""
        return logs_in(raw), ""

    async def logs_in(self, asked: Range, addresses: Sequence[str]) -> list[RawLog] | None:
        """Return what nodes say are the logs of ``addresses`` in a range of blocks.

        Raises:
            RpcError: If the range is too large.
            RetryableError: If no endpoint answers, which may be for the same reason.
        """
        wanted = {"fromBlock": hex(asked.first), "toBlock": hex(asked.last)}
        return logs_in(await self.rpc.read("eth_getLogs", wanted | {"address": list(addresses)}))

    async def call(self, to: str, data: str, block_hash: str | None) -> str:
        """Return what a contract answers after a block, None: after the newest one.

        Raises:
            RpcError: If the contract refuses, or is not there.
        """
        at = "latest" if block_hash is None else {"blockHash": block_hash}
        return str(await self.rpc.call("eth_call", {"to": to, "data": data}, at))
