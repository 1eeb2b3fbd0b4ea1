"""Follows one chain from its nodes into Kafka: takes over, catches up, then waits for heads."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from chaintide.streams.chain.archive import PastRange
from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.blocks import Header
from chaintide.streams.chain.effects import Effects
from chaintide.streams.chain.follower import Follower
from chaintide.streams.chain.history import History
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.past import Past
from chaintide.streams.chain.pipe import Writing
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.rpc import RpcError
from chaintide.streams.chain.steps import Reject
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.wakeup import woken
from chaintide.streams.ending import end_if_told
from chaintide.streams.errors import BadRecordError, HaltedError, ReplacedError, RetryableError
from chaintide.streams.feeds.status import FeedStatus

logger = logging.getLogger(__name__)
LEAST_RANGE: Final = 64  # fewer final blocks than this are walked one by one
AGAIN_S: Final = 1.0
SOON_S: Final = 0.02
OWNER_MS: Final = 1_000  # so long a walk may go on before it looks whose the chain is
_FAULTS: Final = (RetryableError, BadRecordError, RpcError)


@dataclass(slots=True)
class ChainFeed:
    """The shell around a follower. Whatever it cannot write ends it; a restart takes over."""

    node: Node
    publishing: Publishing
    ledger: Writing
    status: FeedStatus
    now_ms: Callable[[], int]
    poll_s: float = 1.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    log: BlockLog = field(default_factory=BlockLog)
    follower: Follower = field(init=False)
    _effects: Effects = field(init=False)
    _past: Past = field(init=False)
    _history: History = field(init=False)
    _takeover: Takeover | None = field(default=None, init=False)
    _checked_ms: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._effects = Effects(self.node, self.publishing, self.ledger, self.status, self.now_ms)
        self._past = Past(self.node, self.publishing.watch, self._effects.count)
        self._history = History(self._past, self._effects, self.log, self._check_owner)

    @property
    def rejects(self) -> dict[str, int]:
        """How often what nodes said was rejected, by reason."""
        return self._effects.rejects

    async def run(self, takeover: Takeover) -> None:
        """Take the chain over and follow it for as long as it is ours.

        Raises:
            HaltedError: If the chain took back a final block.
            ReplacedError: If another follower has taken the chain over.
        """
        try:
            follower = await self.take_over(takeover)
            await self._until_done(self._fill_holes)
            while True:
                await self._check_owner()
                await self._sum_up()
                is_woken, last = self.wake.is_set(), follower.window.last
                self.wake.clear()
                try:
                    await self.go_to_head()
                except _FAULTS as error:
                    self._effects.note(error)
                if follower.halted:
                    raise HaltedError(follower.halted)
                # Some nodes tell of a head a moment before they have it.
                is_early = is_woken and follower.window.last is last
                await woken(self.wake, min(SOON_S, self.poll_s) if is_early else self.poll_s)
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up what is not written yet."""
        await self._effects.pipe.close()

    async def take_over(self, takeover: Takeover) -> Follower:
        """Make the chain ours, and watch again what factories made; return its follower."""
        self._takeover = takeover
        await self._read_log()
        while (plan := takeover.advance(self.log)) is not None:
            await self.ledger.write(plan)
            await self._read_log()
        last = self.log.window.last
        logger.info(
            "chain=%s epoch=%d last=%s rebuilt=%s",
            self.publishing.chain,
            self.log.epoch,
            last.number if last else None,
            sorted(self.log.coverage.rebuilds),
        )
        self.status.connects += 1
        self.follower = takeover.follower(self.log)
        await self._until_done(self._find_children)
        return self.follower

    # ----------------------------------------------------------------- history

    def ahead(self, number: int) -> Range | None:
        """Return the blocks up to ``number`` that are still to be applied, if there are any."""
        following = self._following()
        return Range(following, number) if following <= number else None

    async def fill(self, address: str, whole: Range, on_blocks: Callable[[int], None]) -> None:
        """Write what is missing of the past of one contract, which is final.

        ``on_blocks`` is told how many blocks more are done.
        """

        async def work(_: Follower) -> None:
            for hole in self.log.coverage.unwritten(address, whole):
                await self._history.fill(address, hole, on_blocks)

        await self._until_done(work)

    async def go_on(self, ahead: Range, on_blocks: Callable[[int], None]) -> None:
        """Apply the blocks ``ahead``, which are final, and no others.

        What factories made gets its history first: trades that come after later ones are lost.
        """

        async def work(follower: Follower) -> None:
            end = await self.node.header_at(ahead.last)
            if end is None:
                raise RetryableError(f"no node has block {ahead.last}")
            await self._fill_holes(follower, self.publishing.watch.is_factory)
            await self._catch_up(follower, end, on_blocks)
            await self._walk_to(follower, end)
            await self._effects.do(follower.on_finalized(end))
            await self._effects.pipe.drained()

        await self._until_done(work)

    async def final_number(self) -> int:
        """Return the number of the last final block, as nodes or the depth of the chain say."""
        final = await self.node.finalized()
        if final is not None:
            return final.number
        return (await self.node.head()).number - self.follower.rules.depth

    # ------------------------------------------------------------------ owning

    async def sign(self) -> None:
        """Say that we are still there, if the chain is ours."""
        if self._takeover is not None and self._takeover.has(self.log):
            await self.ledger.write(self.publishing.living())

    async def release(self) -> None:
        """Let whoever stands by have the chain, if it is ours."""
        if self._takeover is None:
            return
        for record in await self.ledger.read():
            if record.epoch > self.log.epoch:  # the rest may be of a walk that has not ended
                self.log.on_record(record)
        if self._takeover.has(self.log):
            await self.ledger.write(self.publishing.releasing())

    async def _read_log(self) -> None:
        for record in await self.ledger.read():
            self.log.on_record(record)

    async def _check_owner(self) -> None:
        end_if_told()
        self._checked_ms = self.now_ms()
        for record in await self.ledger.read():
            if record.epoch > self.publishing.epoch:
                raise ReplacedError(f"chain {self.publishing.chain} has another follower")

    async def _sum_up(self) -> None:
        """Write now and then all that the block log says, before Kafka deletes the older of it."""
        now_ms = self.now_ms()
        if self.log.is_to_be_summed(now_ms=now_ms):
            await self._effects.pipe.drained()
            publishing = self.publishing
            made = publishing.watch.made_in()
            summary = self.log.summary(publishing.chain, made, now_ms=now_ms)
            await self.ledger.write(publishing.noting(summary))
            self.log.summed_ms = now_ms

    # -------------------------------------------------------------------- past

    async def _until_done(self, work: Callable[[Follower], Awaitable[None]]) -> None:
        while True:
            await self._check_owner()
            try:
                return await work(self.follower)
            except _FAULTS as error:
                self._effects.note(error)
            await asyncio.sleep(AGAIN_S)

    async def _find_children(self, follower: Follower) -> None:
        if follower.window.final >= 0 and self.publishing.watch.factories:
            await self._past.find_children(Range(follower.rules.start, follower.window.final))

    async def _fill_holes(
        self, follower: Follower, is_wanted: Callable[[str], bool] = lambda _: True
    ) -> None:
        for address, named in self.publishing.watch.named.items():
            if not is_wanted(address):
                continue
            whole = Range(named.start, follower.window.final)
            for hole in self.log.coverage.unwritten(address, whole):
                self.status.state = "backfilling"
                await self._history.fill(address, hole, lambda _: None)

    async def _catch_up(
        self, follower: Follower, final: Header, on_blocks: Callable[[int], None]
    ) -> None:
        last, first = follower.window.last, self._following()
        if last is not None and follower.window.final < last.number < final.number:
            ours = await self.node.header_at(last.number)
            if ours is not None and ours.hash == last.hash:
                await self._effects.do(follower.on_finalized(ours))
        is_final = last is None or last.number == follower.window.final
        if not is_final or final.number - first < LEAST_RANGE:
            return
        self.status.state = "backfilling"
        whole = Range(first, final.number)
        reading = self._past.read(whole, self.publishing.watch.addresses, final)
        async with aclosing(reading) as ranges:
            async for at, past in ranges:
                await self._apply_range(follower, at, past)
                on_blocks(len(at))

    async def _apply_range(self, follower: Follower, at: Range, past: PastRange) -> None:
        steps = follower.on_range(past.headers, past.logs, past.end)
        await self._effects.do(steps)
        if follower.halted:
            raise HaltedError(follower.halted)
        if any(isinstance(step, Reject) for step in steps):
            raise BadRecordError(f"blocks {at.first} to {at.last} have to be asked for again")

    def _following(self) -> int:
        last = self.follower.window.last
        return self.follower.rules.start if last is None else last.number + 1

    # -------------------------------------------------------------------- head

    async def go_to_head(self) -> None:
        """Apply what has been added to the chain, and make final what is."""
        follower = self.follower
        final = await self.node.finalized()
        if final is not None:
            await self._catch_up(follower, final, lambda _: None)
        head = await self.node.head()
        await self._walk_to(follower, head)
        steps = follower.on_no_finalized() if final is None else follower.on_finalized(final)
        await self._effects.do(steps)
        await self._effects.pipe.drained()
        is_there = follower.has_reached(head)
        self.status.state = "live" if is_there else "connecting"
        self.status.last_error = "" if is_there else follower.obstacle or self._effects.rejected

    async def _walk_to(self, follower: Follower, head: Header) -> None:
        self.status.last_message_ms = self.now_ms()
        await self._effects.do(follower.on_head(head))
        while (ask := follower.ask()) is not None:
            end_if_told()
            if self.now_ms() - self._checked_ms >= OWNER_MS:
                await self._check_owner()
            await self._effects.do(await self.node.answer(follower, ask))
