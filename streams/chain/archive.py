"""What nodes tell of ranges of the past, believed only as far as the chain's headers prove it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.rpc import RestingError, RpcError
from chaintide.streams.chain.steps import Reject
from chaintide.streams.chain.verification import (
    doubtful,
    fault_of,
    fault_of_headers,
    fault_of_range,
    fault_of_told,
)
from chaintide.streams.errors import BadRecordError, RetryableError

MAX_ADDRESSES: Final = 1_000  # that nodes take in one question
MAX_HEADERS: Final = 50  # that are asked for at once
AT_ONCE: Final = 16  # questions for blocks and headers, whatever the number of ranges
TRIES: Final = 5
PAUSE_S: Final = 0.1
_T = TypeVar("_T")


class _RejectedError(BadRecordError):
    def __init__(self, reason: str, where: object) -> None:
        super().__init__(reason)
        self.where = str(where)


class GivenUpError(BadRecordError):
    """What nodes tell of the past cannot be true, however often they are asked."""


class TooLargeError(RetryableError):
    """Fewer blocks may be answered; many nodes only fall silent when asked for too much."""


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


class Archive:
    """Reads ranges of the past; ``on_reject`` is told of everything that was not believed.

    A range is proven when its headers join, when every block that gave a log or whose bloom may
    hold one is read whole, and when each of these is as its header says.
    """

    def __init__(self, node: Node, on_reject: Callable[[Reject], None]) -> None:
        self._node = node
        self._on_reject = on_reject
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def read(
        self,
        asked: Range,
        addresses: Sequence[str],
        known: Mapping[int, Header] = MappingProxyType({}),
        *,
        is_proven: bool = True,
    ) -> PastRange:
        """Return the logs of ``addresses`` in a range of blocks, of which ``known`` are known.

        Unless it has to be proven, only headers of blocks with logs are read, and one more at
        either end.

        Raises:
            TooLargeError: If fewer blocks may be answered.
            RpcError: If a call is refused.
            RetryableError: If no endpoint answers.
            GivenUpError: If what nodes tell cannot be true.
        """
        read = partial(self._read, asked, addresses, known, is_proven=is_proven)
        return await self._believed(read, str(asked))

    async def _read(
        self,
        asked: Range,
        addresses: Sequence[str],
        known: Mapping[int, Header],
        *,
        is_proven: bool,
    ) -> PastRange:
        told = await self._told(asked, addresses)
        try:
            return await self._checked(asked, told, addresses, known, is_proven=is_proven)
        except RetryableError as error:  # nodes that answer so much at once, and no more
            raise TooLargeError(str(error)) from error

    async def _checked(
        self,
        asked: Range,
        told: list[RawLog],
        addresses: Sequence[str],
        known: Mapping[int, Header],
        *,
        is_proven: bool,
    ) -> PastRange:
        numbers = {asked.first, asked.last, *(_place(log)[0] for log in told)}
        if is_proven:
            numbers |= {*range(asked.first, asked.last + 1)}
        headers = {**known, **await self._headers(sorted(numbers - set(known)))}
        _check(fault_of_range(headers, told), asked)
        if is_proven:
            _check(fault_of_headers(headers, asked.first, asked.last), asked)
            told = await self._proven(asked, headers, told, addresses)
        return PastRange(headers, told, headers[asked.last], frozenset(addresses))

    # -------------------------------------------------------------------- told

    async def _told(self, asked: Range, addresses: Sequence[str]) -> list[RawLog]:
        wanted, logs = frozenset(addresses), list[RawLog]()
        for start in range(0, len(addresses), MAX_ADDRESSES):
            found = await self._told_of(asked, addresses[start : start + MAX_ADDRESSES])
            logs += [log for log in found if log.address.lower() in wanted]
        return sorted(logs, key=_place)

    async def _told_of(self, asked: Range, addresses: Sequence[str]) -> list[RawLog]:
        since = self._node.rpc.endpoints.first
        try:
            found = await self._node.logs_in(asked, addresses)
        except RpcError as error:
            if error.complaint == "too large":
                raise TooLargeError(str(error)) from error
            raise
        except RestingError:
            raise
        except RetryableError as error:
            raise TooLargeError(str(error)) from error
        if found is None:
            raise _RejectedError("no such block", str(asked))
        inside = [log for log in found if asked.first <= _place(log)[0] <= asked.last]
        if len(inside) < len(found):
            self._on_reject(Reject("logs of another block", str(asked)))
            self._node.rpc.elsewhere(since)
        return inside

    # ------------------------------------------------------------------ proven

    async def _headers(self, numbers: Sequence[int]) -> dict[int, Header]:
        parts = [numbers[n : n + MAX_HEADERS] for n in range(0, len(numbers), MAX_HEADERS)]
        told = await self._few([partial(self._some_headers, part) for part in parts])
        return {header.number: header for part in told for header in part}

    async def _some_headers(self, numbers: Sequence[int]) -> list[Header]:
        told = await self._node.headers_at(numbers)
        headers = [header for header in told if header is not None]
        where = f"{numbers[0]} to {numbers[-1]}"
        if len(headers) < len(numbers):
            raise _RejectedError("headers are missing", where)
        if [header.number for header in headers] != list(numbers):
            raise _RejectedError("wrong header", where)
        return headers

    async def _proven(
        self,
        asked: Range,
        headers: Mapping[int, Header],
        told: Sequence[RawLog],
        addresses: Sequence[str],
    ) -> list[RawLog]:
        """Return the logs as the blocks have them, whatever was told of the range."""
        wanted, since = frozenset(addresses), self._node.rpc.endpoints.first
        numbers = doubtful(headers, told, addresses)
        blocks = await self._few([partial(self._block, headers[n], wanted) for n in numbers])
        proven = [log for block in blocks for log in block]
        if fault := fault_of_told(told, proven):
            self._on_reject(Reject(fault, f"{asked} told={len(told)} proven={len(proven)}"))
            self._node.rpc.elsewhere(since)
        return proven

    async def _block(self, header: Header, wanted: frozenset[str]) -> list[RawLog]:
        logs, root = await self._node.logs_of(header)
        where = f"number={header.number} hash={header.hash}"
        if logs is None:
            raise _RejectedError("no such block", where)
        _check(fault_of(header, logs, root=root, has_bloom=self._node.rules.has_bloom), where)
        return [log for log in logs if log.address.lower() in wanted]

    # ------------------------------------------------------------------ asking

    async def _few(self, asks: Sequence[Callable[[], Awaitable[_T]]]) -> list[_T]:
        """Return what all ``asks`` give; a few questions of all ranges are out at a time."""
        tasks = [asyncio.create_task(self._one(ask)) for ask in asks]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask again after a pause if no node answers: much of the range was read already."""
        async with self._at_once:
            for turn in range(TRIES - 1):
                try:
                    return await self._believed(ask, "")
                except RestingError:
                    raise
                except RetryableError:
                    await asyncio.sleep(PAUSE_S * 2**turn)
            return await self._believed(ask, "")

    async def _believed(self, ask: Callable[[], Awaitable[_T]], where: str) -> _T:
        """Ask other nodes for what cannot be true, until it can or all of them were asked."""
        reject = Reject("")
        for _ in range(TRIES):
            since = self._node.rpc.endpoints.first
            try:
                return await ask()
            except GivenUpError:
                raise
            except BadRecordError as error:
                reject = _reject_of(error, where)
                self._on_reject(reject)
                self._node.rpc.elsewhere(since)
        raise GivenUpError(str(reject))


def _place(log: RawLog) -> tuple[int, int]:
    try:
        return int(log.block_number, 16), log.index
    except ValueError as error:
        raise _RejectedError("malformed log", str(error)) from error


def _check(fault: str | None, where: object) -> None:
    if fault is not None:
        raise _RejectedError(fault, str(where))


def _reject_of(error: BadRecordError, where: str) -> Reject:
    if isinstance(error, _RejectedError):
        return Reject(error.reason, error.where)
    return Reject("malformed answer", f"{where} {error.reason}")
