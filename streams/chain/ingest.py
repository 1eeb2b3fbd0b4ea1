"""Follows one chain from its nodes into Kafka: takes over, catches up, then polls for heads."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.blocks import Header
from chaintide.streams.chain.follower import Follower
from chaintide.streams.chain.node import Node, PastRange
from chaintide.streams.chain.publishing import Plan, Publishing
from chaintide.streams.chain.ranges import Range, Ranges
from chaintide.streams.chain.records import BlockMessage, Owner
from chaintide.streams.chain.rpc import RpcError
from chaintide.streams.chain.steps import Halt, Reject, Step
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.errors import BadRecordError, FatalError, RetryableError

logger = logging.getLogger(__name__)
PARALLEL: Final = 4
LEAST_RANGE: Final = 64  # fewer final blocks than this are walked one by one


class Writing(Protocol):
    """Where a follower writes its plans and reads its block log."""

    async def read(self) -> list[BlockMessage]:
        """Return what is new in the block log."""
        ...

    async def write(self, plan: Plan) -> None:
        """Write ``plan``, each part acknowledged before the next."""
        ...


class ChainFeed:
    """The shell around a follower. Whatever it cannot write ends it; a restart takes over."""

    def __init__(
        self, node: Node, publishing: Publishing, ledger: Writing, *, poll_s: float = 1.0
    ) -> None:
        self.publishing = publishing
        self.rejects: dict[str, int] = {}
        self.follower: Follower | None = None
        self.wake = asyncio.Event()
        self._node = node
        self._ledger = ledger
        self._poll_s = poll_s
        self._writer = ""

    async def run(self, takeover: Takeover, writer: str) -> None:
        """Take the chain over as ``writer`` and follow it until it halts.

        Raises:
            FatalError: If it halted, or another follower has taken it over.
        """
        self._writer = writer
        self.follower = follower = await self._take_over(takeover)
        await self._find_children(follower)
        while True:
            await self._check_owner()
            try:
                final = await self._node.finalized()
                await self._catch_up(follower, final)
                await self._walk(follower, final)
            except (RetryableError, BadRecordError, RpcError) as error:
                logger.warning("chain=%s waits: %s", self.publishing.chain, error)
            if follower.halted:
                raise FatalError(follower.halted)
            self.wake.clear()
            await _first_of(self.wake, self._poll_s)

    async def _take_over(self, takeover: Takeover) -> Follower:
        log = BlockLog()
        await self._read_into(log)
        while (plan := takeover.advance(log)) is not None:
            await self._ledger.write(plan)
            await self._read_into(log)
        logger.info("chain=%s epoch=%d last=%s", self.publishing.chain, log.epoch, log.window.last)
        return takeover.follower(log)

    async def _read_into(self, log: BlockLog) -> None:
        for record in await self._ledger.read():
            log.on_record(record)

    async def _check_owner(self) -> None:
        for record in await self._ledger.read():
            if isinstance(record, Owner) and record.epoch > self.publishing.epoch:
                raise FatalError(f"chain {self.publishing.chain} has another follower")

    # -------------------------------------------------------------------- past

    async def _find_children(self, follower: Follower) -> None:
        """Watch again what factories made up to the last final block; the log has the rest."""
        if follower.window.final < 0 or not self.publishing.watch.has_factories:
            return
        await self._past(Range(follower.rules.start, follower.window.final), None)

    async def _catch_up(self, follower: Follower, final: Header | None) -> None:
        """Take what is final already in ranges, if it is much."""
        last = follower.window.last
        first = follower.rules.start if last is None else last.number + 1
        is_final = last is None or last.number == follower.window.final
        if final is not None and is_final and final.number - first >= LEAST_RANGE:
            await self._past(Range(first, final.number), follower)

    async def _past(self, whole: Range, follower: Follower | None) -> None:
        """Ask for ``whole`` in parallel and go through it in order."""
        ranges: Ranges[PastRange] = Ranges(whole.first, whole.last, parallel=PARALLEL)
        out: dict[asyncio.Task[PastRange], Range] = {}
        try:
            while not ranges.is_done:
                while (asked := ranges.take()) is not None:
                    addresses = self.publishing.watch.addresses
                    out[asyncio.create_task(self._node.past(asked, addresses))] = asked
                done, _ = await asyncio.wait(out, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    for at, past in _result(ranges, out.pop(task), task):
                        await self._on_past(at, past, follower)
        finally:
            for task in out:
                task.cancel()

    async def _on_past(self, at: Range, past: PastRange, follower: Follower | None) -> None:
        """Ask once more for contracts that earlier blocks made, until there are no new ones."""
        watch = self.publishing.watch
        while True:
            for number in sorted(past.headers):
                watch.discover(
                    number, [log for log in past.logs if int(log.block_number, 16) == number]
                )
            missing = sorted(set(watch.addresses) - past.addresses)
            if not missing:
                break
            past = past.with_more(await self._node.past(at, missing))
        if follower is not None:
            steps = follower.on_range(past.headers, past.logs, past.end)
            await self._do(steps)
            if any(isinstance(step, Reject) for step in steps):
                raise BadRecordError(f"blocks {at.first} to {at.last} have to be asked for again")

    # -------------------------------------------------------------------- head

    async def _walk(self, follower: Follower, final: Header | None) -> None:
        """Go to the head of the chain, block by block."""
        follower.on_head(await self._node.head())
        while (ask := follower.ask()) is not None:
            await self._do(await self._node.answer(follower, ask))
        steps = follower.on_no_finalized() if final is None else follower.on_finalized(final)
        await self._do(steps)

    async def _do(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Reject(reason, detail):
                    self.rejects[reason] = self.rejects.get(reason, 0) + 1
                    logger.warning(
                        "chain=%s rejected: %s %s", self.publishing.chain, reason, detail
                    )
                    self._node.rpc.elsewhere()
                case Halt(reason):
                    logger.error("%s", reason)
                case _:
                    await self._ledger.write(self.publishing.plan(step))


def _result(
    ranges: Ranges[PastRange], asked: Range, task: asyncio.Task[PastRange]
) -> list[tuple[Range, PastRange]]:
    try:
        return ranges.on_result(asked, task.result())
    except RpcError as error:
        if error.complaint == "too large" and ranges.on_too_large(asked):
            return []
        raise


async def _first_of(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
