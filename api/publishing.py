"""Put recorded trades on the trades topic, at full speed or paced by event time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaProducer

from chaintide.streams import codec
from chaintide.streams.batches import batch_of
from chaintide.streams.partitions import partition_of
from chaintide.streams.recording import Row
from chaintide.streams.records import Heartbeat, Market, TradeBatch
from chaintide.streams.topics import TRADES

MAX_BATCH = 500


def recorded_batch(market: Market, rows: list[Row], *, now_ms: int) -> TradeBatch:
    """Return recorded trades column by column, in their order."""
    batch = batch_of(market, rows, now_ms=now_ms)
    traders = [row.trader for row in rows]
    return msgspec.structs.replace(batch, traders=traders) if any(traders) else batch


@dataclass(slots=True)
class Pace:
    """Event time against running time: at ``speed`` 60 a recorded minute takes a second."""

    speed: float
    _first: tuple[int, float] | None = None

    def delay_s(self, time_us: int, *, now_s: float) -> float:
        """Return how long to wait before a trade of ``time_us``."""
        if self._first is None:
            self._first = (time_us, now_s)
        first_us, first_s = self._first
        return (time_us - first_us) / 1e6 / self.speed - (now_s - first_s)


@dataclass(slots=True)
class Publisher:
    """Sends rows in batches per market; the producer's buffer is the bound."""

    producer: AIOKafkaProducer
    partitions: int
    now_ms: Callable[[], int]
    pace: Pace | None = None
    trades: int = 0
    _waiting: dict[Market, list[Row]] = field(default_factory=dict[Market, list[Row]])
    _newest_us: dict[Market, int] = field(default_factory=dict[Market, int])

    async def publish(self, row: Row) -> None:
        """Take one trade."""
        if self.pace is not None:
            await self._keep_pace(self.pace, row.time_us)
        waiting = self._waiting.setdefault(row.market, [])
        waiting.append(row)
        self._newest_us[row.market] = max(self._newest_us.get(row.market, 0), row.time_us)
        self.trades += 1
        if len(waiting) >= MAX_BATCH:
            await self._send(row.market)

    async def finish(self) -> None:
        """Send what waits, then promise that no older trades follow, so that candles close."""
        await self._send_all()
        for market, time_us in self._newest_us.items():
            venue = market.partition(":")[0]
            await self._write(market, Heartbeat(venue=venue, market=market, time_us=time_us))
        await self.producer.flush()

    async def _keep_pace(self, pace: Pace, time_us: int) -> None:
        delay_s = pace.delay_s(time_us, now_s=asyncio.get_running_loop().time())
        if delay_s > 0:
            await self._send_all()
            await asyncio.sleep(delay_s)

    async def _send_all(self) -> None:
        for market in list(self._waiting):
            await self._send(market)

    async def _send(self, market: Market) -> None:
        if rows := self._waiting.pop(market, None):
            await self._write(market, recorded_batch(market, rows, now_ms=self.now_ms()))

    async def _write(self, market: Market, record: TradeBatch | Heartbeat) -> None:
        await self.producer.send(
            TRADES.name,
            codec.encode(record),
            key=market.encode(),
            partition=partition_of(market, self.partitions),
        )
