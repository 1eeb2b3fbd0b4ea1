"""The past of a chain, asked for in parallel and given out in order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final

from chaintide.streams.chain.node import Node, PastRange
from chaintide.streams.chain.ranges import Range, Ranges
from chaintide.streams.chain.rpc import RestingError, RpcError
from chaintide.streams.chain.watch import Watch
from chaintide.streams.errors import RetryableError

PARALLEL: Final = 4
FIRST_SIZE: Final = 1_000


class Past:
    """The logs of watched contracts in blocks that are final, with those of their children.

    What size of a range nodes can answer is remembered from one reading to the next.
    """

    def __init__(self, node: Node, watch: Watch) -> None:
        self._node = node
        self._watch = watch
        self.size = FIRST_SIZE

    async def read(
        self,
        whole: Range,
        addresses: Collection[str],
        *,
        is_wanted: Callable[[str], bool] = lambda _: True,
    ) -> AsyncIterator[tuple[Range, PastRange]]:
        """Yield the logs of ``addresses`` in ``whole``, range after range.

        What they made meanwhile is watched from then on. Its logs are among those of the range
        that has made it and of all later ones, if ``is_wanted`` says so.
        """
        ranges: Ranges[PastRange] = Ranges(
            whole.first, whole.last, size=self.size, parallel=PARALLEL
        )
        wanted = set(addresses)
        out: dict[asyncio.Task[PastRange], Range] = {}
        try:
            while not ranges.is_done:
                while (asked := ranges.take()) is not None:
                    out[asyncio.create_task(self._node.past(asked, sorted(wanted)))] = asked
                done, _ = await asyncio.wait(out, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    for at, past in _result(ranges, out.pop(task), task):
                        yield at, await self._complete(at, past, wanted, is_wanted)
        finally:
            self.size = ranges.size
            for task in out:
                task.cancel()
            await asyncio.gather(*out, return_exceptions=True)

    async def _complete(
        self, at: Range, past: PastRange, wanted: set[str], is_wanted: Callable[[str], bool]
    ) -> PastRange:
        """Ask once more for contracts that were made up to now, until there are no new ones."""
        while True:
            for number in sorted(past.headers):
                inside = [log for log in past.logs if int(log.block_number, 16) == number]
                wanted |= {*filter(is_wanted, self._watch.discover(number, inside))}
            if not (missing := sorted(wanted - past.addresses)):
                return past
            past = past.with_more(await self._node.past(at, missing))


def _result(
    ranges: Ranges[PastRange], asked: Range, task: asyncio.Task[PastRange]
) -> list[tuple[Range, PastRange]]:
    try:
        return ranges.on_result(asked, task.result())
    except (RpcError, RetryableError) as error:
        if _may_be_size(error) and ranges.on_too_large(asked):
            return []
        raise


def _may_be_size(error: RpcError | RetryableError) -> bool:
    """Return whether less may be answered; many nodes only fall silent when asked for too much."""
    if isinstance(error, RpcError):
        return error.complaint == "too large"
    return not isinstance(error, RestingError)
