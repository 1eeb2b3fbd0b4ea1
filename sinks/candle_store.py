"""The port every candle store implements."""

from collections.abc import Sequence
from typing import Protocol

from chaintide.streams.intervals import Interval
from chaintide.streams.records import Candle, CandleBatch, Gap, Market


class CandleStore(Protocol):
    """A place where candles are kept and read back.

    A candle is identified by its market, interval and open time, a gap by its market and
    start; the last one written wins. A batch with a lower (generation, offset) than one
    already stored of its market is stale, and leaves no trace.

    Every method raises ``RetryableError`` while the store is down, and ``FatalError`` when
    waiting will not help.
    """

    async def write(self, batches: Sequence[CandleBatch]) -> None:
        """Store all of ``batches`` or raise; safe to call again with the same ones."""
        ...

    async def candles(
        self,
        market: Market,
        interval: Interval,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> list[Candle]:
        """Return the candles that open in ``[start_ms, end_ms)``, sorted by open time.

        ``limit`` keeps the earliest ones when there is a ``start_ms``, else the latest.
        """
        ...

    async def markets(self) -> list[Market]:
        """Return every market anything was stored of, sorted."""
        ...

    async def gaps(self, market: Market) -> list[Gap]:
        """Return the gaps of ``market``, sorted by their start."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
