"""What a serving process needs of a store: the last day of each market, and windows of series."""

import asyncio
import logging
import random
from dataclasses import dataclass, field
from typing import Final

from chaintide.api.state.series import MAX_LOADED
from chaintide.api.state.ticker import MINUTES
from chaintide.api.state.view import View
from chaintide.sinks.candle_store import CandleStore
from chaintide.sinks.forecast_store import Store
from chaintide.streams.errors import RetryableError
from chaintide.streams.feeds.backoff import Backoff
from chaintide.streams.intervals import Interval
from chaintide.streams.records import Candle, Market

logger = logging.getLogger(__name__)
AT_ONCE: Final = 8
FRESH_S: Final = 60.0
LONGEST_WAIT_S: Final = 10.0
BEGINNING_MS: Final = -(10**13)


async def load_days(view: View, store: CandleStore) -> None:
    """Bring the first candle and the last 1,440 minutes of every market into ``view``.

    Raises:
        RetryableError: If the store does not answer.
    """
    room = asyncio.Semaphore(AT_ONCE)

    async def load(market: Market) -> None:
        async with room:
            first = await store.candles(market, "1m", BEGINNING_MS, limit=1)
            view.load_day(market, [*first, *await store.candles(market, "1m", limit=MINUTES)])

    await asyncio.gather(*[load(market) for market in await store.markets()])


async def load_patiently(view: View, store: Store) -> None:
    """Do the same, and bring the newest predictions and anomalies, as soon as the store answers."""
    backoff = Backoff(cap_s=LONGEST_WAIT_S)
    while True:
        try:
            await load_days(view, store)
            newest = await store.newest_predictions()
            anomalies = await store.newest_anomalies()
        except RetryableError as error:
            wait_s = backoff.next_s(random.random)
            logger.warning("store not read wait_s=%.2f reason=%s", wait_s, error)
            await asyncio.sleep(wait_s)
            continue
        for said in newest:
            view.forecasts.on_prediction(said)
        for one in anomalies:
            view.anomalies.on_anomaly(one)
        return


@dataclass(frozen=True, slots=True)
class Read:
    """Candles, and whether they are, one by one, what the store said just now."""

    candles: list[Candle]
    is_stored: bool


@dataclass(slots=True)
class CandleReader:
    """Candles of the store with those of the topic over them, as one.

    The newest candles of a series are read from the store at most once a minute and kept up to
    date by the topic meanwhile, so most reads take no query.
    """

    view: View
    store: CandleStore
    _loaded: dict[tuple[Market, Interval], float] = field(
        default_factory=dict[tuple[Market, Interval], float]
    )
    _loading: dict[tuple[Market, Interval], "asyncio.Task[None]"] = field(
        default_factory=dict[tuple[Market, Interval], "asyncio.Task[None]"]
    )

    async def candles(
        self,
        market: Market,
        interval: Interval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
    ) -> list[Candle]:
        """Return the candles that open in ``[start_ms, end_ms)``, sorted by open time.

        ``limit`` keeps the earliest ones when there is a ``start_ms``, else the latest.

        Raises:
            RetryableError: If the store does not answer.
        """
        return (await self.read(market, interval, start_ms, end_ms, limit)).candles

    async def read(
        self,
        market: Market,
        interval: Interval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
    ) -> Read:
        """Return the same, and whether the topic had nothing to add.

        Raises:
            RetryableError: If the store does not answer.
        """
        if start_ms is None and end_ms is None and limit <= MAX_LOADED:
            await self.load(market, interval)
        key = (market, interval)
        series = self.view.overlay.series(*key)
        if series is not None and self._is_fresh(key):
            covered = series.covered(start_ms, end_ms, limit)
            if covered is not None:
                return Read(covered, is_stored=False)
        stored = await self.store.candles(market, interval, start_ms, end_ms, limit)
        if start_ms is not None and len(stored) == limit:
            end_ms = stored[-1].close_time_ms  # what comes after it would be cut off
        found = self.view.overlay.over(key, stored, start_ms, end_ms)
        kept = found[:limit] if start_ms is not None else found[max(0, len(found) - limit) :]
        return Read(kept, is_stored=kept == stored)

    async def load(self, market: Market, interval: Interval) -> None:
        """Bring the newest 1,000 candles of a series into the view, unless they just were.

        Whoever asks meanwhile waits for the same query.
        """
        key = (market, interval)
        if self._is_fresh(key):
            return
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.create_task(self._load(market, interval))
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        await asyncio.shield(loading)

    async def _load(self, market: Market, interval: Interval) -> None:
        key = (market, interval)
        stored = await self.store.candles(market, interval, limit=MAX_LOADED)
        self.view.overlay.load(key, stored, is_whole=len(stored) < MAX_LOADED)
        if market in self.view.catalogue:
            self._loaded[key] = asyncio.get_running_loop().time()

    def _is_fresh(self, key: tuple[Market, Interval]) -> bool:
        series, loaded_s = self.view.overlay.series(*key), self._loaded.get(key)
        if series is None or loaded_s is None or not series.is_loaded:
            return False
        return asyncio.get_running_loop().time() - loaded_s < FRESH_S
