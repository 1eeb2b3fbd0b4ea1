"""Plans on their way into Kafka while the next ones are being made."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from chaintide.streams import codec
from chaintide.streams.chain.publishing import Outgoing, Plan
from chaintide.streams.chain.records import BlockMessage

MAX_RECORDS: Final = 20_000


class Writing(Protocol):
    """Where a follower writes its plans and reads its block log."""

    async def read(self) -> list[BlockMessage]:
        """Return what is new in the block log."""
        ...

    async def write(self, plan: Plan) -> None:
        """Write ``plan``, each part acknowledged before the next."""
        ...


@dataclass(slots=True)
class Pipe:
    """Writes plans in the order in which they come.

    Plans of blocks that wait are written as one: the records of all, then what says that they are
    finished. At 20,000 waiting records ``put`` waits for all of them.
    """

    ledger: Writing
    _waiting: deque[tuple[Plan, bool]] = field(default_factory=deque[tuple[Plan, bool]])
    _records: int = 0
    _writing: "asyncio.Task[None] | None" = None

    async def put(self, plan: Plan, *, is_block: bool = False) -> None:
        """Let ``plan`` be written; raise what went wrong with an earlier one."""
        self._check()
        if self._records >= MAX_RECORDS:
            await self.drained()
        self._waiting.append((_encoded(plan), is_block))
        self._records += sum(map(len, plan))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await asyncio.sleep(0)

    async def drained(self) -> None:
        """Wait until all is written; raise what went wrong."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
            self._check()

    async def close(self) -> None:
        """Give up what is not written yet."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            self._writing = None

    def _check(self) -> None:
        if self._writing is not None and self._writing.done():
            done, self._writing = self._writing, None
            done.result()

    async def _write(self) -> None:
        while self._waiting:
            await self.ledger.write(self._next())

    def _next(self) -> Plan:
        plan, is_block = self._waiting.popleft()
        merged = [[*part] for part in plan]
        while is_block and self._waiting and self._waiting[0][1]:
            plan, _ = self._waiting.popleft()
            for part, more in zip(merged, plan, strict=True):
                part.extend(more)
        self._records -= sum(map(len, merged))
        return merged


def _encoded(plan: Plan) -> Plan:
    """Return ``plan`` with its records as bytes.

    As objects, 20,000 that wait would have left the processor's caches before they are encoded.
    """
    encode, raw = codec.encode, msgspec.Raw
    return [
        [Outgoing(out.topic, out.key, out.partition, raw(encode(out.record))) for out in part]
        for part in plan
    ]
