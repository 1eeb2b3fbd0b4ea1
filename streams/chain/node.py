"""What a follower wants to know, asked of the nodes of its chain."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from chaintide.streams.chain.blocks import Header, RawLog, header_of, logs_in
from chaintide.streams.chain.follower import ChainRules, Follower
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.receipts import receipts_in, receipts_root
from chaintide.streams.chain.rpc import Rpc, RpcError
from chaintide.streams.chain.steps import Ask, HeaderAt, HeaderOf, LogsOf, Step
from chaintide.streams.errors import BadRecordError

MAX_ADDRESSES: Final = 1_000  # that nodes take in one question


class PastRange(msgspec.Struct, frozen=True):
    """The logs of some contracts in a range of blocks, and the headers of those blocks."""

    headers: dict[int, Header]
    logs: list[RawLog]
    end: Header
    addresses: frozenset[str]

    def with_more(self, other: "PastRange") -> "PastRange":
        """Return the logs of both, of the same range, in order."""
        logs = sorted([*self.logs, *other.logs], key=_place)
        headers = self.headers | other.headers
        return PastRange(headers, logs, other.end, self.addresses | other.addresses)


class Node:
    """The endpoints of a chain, in a follower's words."""

    def __init__(self, rpc: Rpc, rules: ChainRules) -> None:
        self.rpc = rpc
        self._has_receipts = rules.has_receipts

    async def head(self) -> Header:
        """Return the newest block."""
        return header_of(await self.rpc.call("eth_getBlockByNumber", "latest", False))  # noqa: FBT003

    async def finalized(self) -> Header | None:
        """Return the last final block; None if nodes of this chain do not know of such."""
        try:
            raw = await self.rpc.call("eth_getBlockByNumber", "finalized", False)  # noqa: FBT003
        except RpcError as error:
            if error.complaint != "unknown method":
                raise
            return None
        return None if raw is None else header_of(raw)

    async def header_at(self, number: int) -> Header | None:
        """Return the block of this number."""
        raw = await self.rpc.call("eth_getBlockByNumber", hex(number), False)  # noqa: FBT003
        return None if raw is None else header_of(raw)

    async def header_with(self, block_hash: str) -> Header | None:
        """Return the block of this hash."""
        raw = await self.rpc.call("eth_getBlockByHash", block_hash, False)  # noqa: FBT003
        return None if raw is None else header_of(raw)

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
                return await self._logs(follower, ask, header)

    async def _logs(self, follower: Follower, ask: LogsOf, header: Header) -> list[Step]:
        if self._has_receipts and header.receipts_root:
            try:
                raw = await self.rpc.read("eth_getBlockReceipts", header.hash)
            except RpcError as error:
                if error.complaint != "unknown method":
                    raise
            else:
                if (receipts := receipts_in(raw)) is None:
                    return follower.on_logs(ask, None)
                logs = [log for receipt in receipts for log in receipt.logs]
                return follower.on_logs(ask, logs, receipts_root(receipts))
        try:
            raw = await self.rpc.read("eth_getLogs", {"blockHash": header.hash})
        except RpcError:
            return follower.on_logs(ask, None)
        return follower.on_logs(ask, logs_in(raw))

    async def call(self, to: str, data: str, block_hash: str | None) -> str:
        """Return what a contract answers after a block, None: after the newest one.

        Raises:
            RpcError: If the contract refuses, or is not there.
        """
        at = "latest" if block_hash is None else {"blockHash": block_hash}
        return str(await self.rpc.call("eth_call", {"to": to, "data": data}, at))

    async def past(self, asked: Range, addresses: Sequence[str]) -> PastRange:
        """Return the logs of ``addresses`` in a range of blocks.

        Raises:
            RpcError: If the range is too large.
            BadRecordError: If a block is missing.
        """
        logs = sorted(await self._logs_of(asked, addresses), key=_place)
        numbers = sorted({int(log.block_number, 16) for log in logs} | {asked.last})
        told = await asyncio.gather(*[self.header_at(number) for number in numbers])
        headers = {header.number: header for header in told if header is not None}
        if sorted(headers) != numbers:
            raise BadRecordError(f"blocks of {asked} are missing")
        return PastRange(headers, logs, headers[asked.last], frozenset(addresses))

    async def _logs_of(self, asked: Range, addresses: Sequence[str]) -> list[RawLog]:
        logs: list[RawLog] = []
        wanted = {"fromBlock": hex(asked.first), "toBlock": hex(asked.last)}
        for start in range(0, len(addresses), MAX_ADDRESSES):
            some = list(addresses[start : start + MAX_ADDRESSES])
            raw = await self.rpc.read("eth_getLogs", {**wanted, "address": some})
            if (found := logs_in(raw)) is None:
                raise BadRecordError(f"no logs of {asked}")
            logs += found
        return logs


def _place(log: RawLog) -> tuple[int, int]:
    try:
        return int(log.block_number, 16), log.index
    except ValueError as error:
        raise BadRecordError(f"not logs: {error}") from error
