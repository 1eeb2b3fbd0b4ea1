"""The past of a chain, asked for in parallel and given out in order."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from itertools import groupby
from typing import Final

from chaintide.streams.chain.archive import Archive, GivenUpError, PastRange, TooLargeError
from chaintide.streams.chain.blocks import Header
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.ranges import Range, Ranges
from chaintide.streams.chain.steps import Reject
from chaintide.streams.chain.watch import Watch
from chaintide.streams.chain.window import Seen

PARALLEL: Final = 4
FIRST_SIZE: Final = 1_000


class Past:
    """The logs of watched contracts in blocks that are final, with those of their children.

    What size of a range nodes can answer is remembered from one reading to the next.
    """

    def __init__(self, node: Node, watch: Watch, on_reject: Callable[[Reject], None]) -> None:
        self._archive = Archive(node, on_reject)
        self._rpc = node.rpc
        self._watch = watch
        self._on_reject = on_reject
        self.size = FIRST_SIZE

    async def read(
        self, whole: Range, addresses: Collection[str], final: Header | Seen | None
    ) -> AsyncGenerator[tuple[Range, PastRange], None]:
        """Yield the logs of ``addresses`` in ``whole``, range after range.

        Ranges have to join each other, and the block ``final`` if it is among theirs. What was made
        meanwhile is watched from then on. Its logs are among those of the range that has made it
        and of all later ones.

        Raises:
            GivenUpError: If what nodes tell cannot be true.
        """
        wanted, last = set(addresses), None
        async with aclosing(self._ranges(whole, wanted, is_proven=True)) as ranges:
            async for at, past in ranges:
                self._join(last, past, final)
                last = past.end
                yield at, await self._complete(at, past, wanted)

    async def find_children(self, whole: Range) -> None:
        """Watch again what factories made in ``whole``, as nodes say: nothing of it is proven."""
        wanted = set(self._watch.factories)
        async with aclosing(self._ranges(whole, wanted, is_proven=False)) as ranges:
            async for at, past in ranges:
                await self._complete(at, past, wanted, is_proven=False)

    async def _ranges(
        self, whole: Range, wanted: set[str], *, is_proven: bool
    ) -> AsyncGenerator[tuple[Range, PastRange], None]:
        """Yield the logs of all that is ``wanted`` by the time a range is asked for."""
        ranges: Ranges[PastRange] = Ranges(
            whole.first, whole.last, size=self.size, parallel=PARALLEL
        )
        out: dict[asyncio.Task[PastRange], Range] = {}
        try:
            while not ranges.is_done:
                while (asked := ranges.take()) is not None:
                    read = self._archive.read(asked, sorted(wanted), is_proven=is_proven)
                    out[asyncio.create_task(read)] = asked
                done, _ = await asyncio.wait(out, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    for each in _result(ranges, out.pop(task), task):
                        yield each
        finally:
            self.size = ranges.size
            for task in out:
                task.cancel()
            await asyncio.gather(*out, return_exceptions=True)

    def _join(self, last: Header | None, past: PastRange, final: Header | Seen | None) -> None:
        """Check that a range begins where the last one ended, and holds the final block."""
        hashes = {number: header.hash for number, header in past.headers.items()}
        oldest = past.headers[min(hashes)]
        hashes[oldest.number - 1] = oldest.parent_hash
        for known in (last, final):
            if known is not None and hashes.get(known.number, known.hash) != known.hash:
                reject = Reject("headers do not join", f"number={known.number} hash={known.hash}")
                self._on_reject(reject)
                self._rpc.elsewhere()
                raise GivenUpError(str(reject))

    async def _complete(
        self, at: Range, past: PastRange, wanted: set[str], *, is_proven: bool = True
    ) -> PastRange:
        """Ask once more for contracts that were made up to now, until there are no new ones.

        Those found in what need not be proven are wanted only if they make contracts themselves.
        """
        while True:
            for number, inside in groupby(past.logs, lambda log: int(log.block_number, 16)):
                found = self._watch.discover(number, list(inside))
                wanted |= {each for each in found if is_proven or self._watch.is_factory(each)}
            if not (missing := sorted(wanted - past.addresses)):
                return past
            more = await self._archive.read(at, missing, past.headers, is_proven=is_proven)
            past = past.with_more(more)


def _result(
    ranges: Ranges[PastRange], asked: Range, task: asyncio.Task[PastRange]
) -> list[tuple[Range, PastRange]]:
    try:
        return ranges.on_result(asked, task.result())
    except TooLargeError:
        if ranges.on_too_large(asked):
            return []
        raise
