"""Writes the history of contracts: what they, and what they made, logged in final blocks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from chaintide.streams.chain.archive import PastRange
from chaintide.streams.chain.blocklog import BlockLog
from chaintide.streams.chain.coverage import Hole
from chaintide.streams.chain.effects import Effects
from chaintide.streams.chain.past import Past
from chaintide.streams.chain.publishing import Plan, Reading
from chaintide.streams.chain.ranges import Range
from chaintide.streams.chain.records import Family, Synced
from chaintide.streams.chain.steps import ApplyRange


@dataclass(slots=True)
class History:
    """The past of the contracts of one chain, as far as its block log lacks it."""

    past: Past
    effects: Effects
    log: BlockLog
    check_owner: Callable[[], Awaitable[None]]

    async def fill(self, address: str, hole: Hole, on_blocks: Callable[[int], None]) -> None:
        """Write what ``address`` logged in ``hole``, and what it had made.

        ``on_blocks`` is told how many blocks more are done.
        """
        made = self.effects.publishing.watch.made_by(address, hole.blocks.last)
        if hole.family is None:
            asked, before = [address, *made], dict[str, int]()
        else:
            before = await self._unwritten(address, hole.family, hole.blocks, made)
            ways = self.log.coverage.families[address].factories
            if not {*ways} <= {*hole.family.factories}:  # what it made so is to be proven
                before[address] = hole.blocks.first  # nothing of its own is written again
            asked = [*before]
        if not asked:
            await self._write(None, self._synced(address, hole.blocks), on_blocks)
            return
        window = self.log.window
        reading = self.past.read(hole.blocks, asked, window.at(window.final))
        async with aclosing(reading) as ranges:
            async for at, past in ranges:
                news = self._news(past, before)
                await self._write(news, self._synced(address, at), on_blocks)

    def _news(self, past: PastRange, before: Mapping[str, int]) -> Reading:
        reading = self.effects.publishing.read(ApplyRange(past.headers, past.logs, past.end))
        end = past.end.number + 1
        records = [r for r in reading.records if r.number < before.get(r.address, end)]
        return replace(reading, records=records)

    async def _unwritten(
        self, address: str, family: Family, blocks: Range, made: Sequence[str]
    ) -> dict[str, int]:
        """Return which of ``made`` are not written from the first block on, and up to where.

        That is what was not known to whoever watched of what ``address`` made a ``family``.
        """
        watch = self.effects.publishing.watch
        known = watch.alone(address, family)
        if family.since <= blocks.last and known.factories:
            past = Past(self.effects.node, known, self.effects.count)
            await past.find_children(Range(family.since, blocks.last))
        before: dict[str, int] = {}
        for child in made:
            seen = known.children.get(child)
            end = blocks.last + 1 if seen is None else seen.start
            if end > max(watch.children[child].start, blocks.first):
                before[child] = end
        return before

    def _synced(self, address: str, at: Range) -> Synced:
        publishing = self.effects.publishing
        return Synced(
            chain=publishing.chain,
            address=address,
            first=at.first,
            last=at.last,
            epoch=publishing.epoch,
        )

    async def _write(
        self, reading: Reading | None, synced: Synced, on_blocks: Callable[[int], None]
    ) -> None:
        await self.check_owner()
        await self.effects.ledger.write(await self._plan(reading, synced))
        self.log.on_record(synced)
        on_blocks(synced.last - synced.first + 1)

    async def _plan(self, reading: Reading | None, synced: Synced) -> Plan:
        publishing, coverage = self.effects.publishing, self.log.coverage
        if reading is None:
            return publishing.syncing(reading, synced)
        aliases = await self.effects.learning.learn(reading)
        if synced.address in coverage.rebuilds:
            return publishing.rebuilding(reading, synced, coverage, aliases)
        return publishing.syncing(reading, synced, aliases)
