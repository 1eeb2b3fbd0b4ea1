"""The one shell around every WebSocket adapter: sockets, backfills, promises."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, assert_never

from websockets.exceptions import WebSocketException

from chaintide.streams.ending import end_if_told
from chaintide.streams.errors import BadRecordError, RetryableError
from chaintide.streams.feeds.adapter import Ack, Adapter, Refusal, VenueTrade
from chaintide.streams.feeds.backoff import Backoff
from chaintide.streams.feeds.outbox import Outbox
from chaintide.streams.feeds.rest import Rest
from chaintide.streams.feeds.sequence import Delivery, Fetch, Output, SequenceLogic
from chaintide.streams.feeds.socket import VenueSocket
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import DeadLetter, Gap, Heartbeat

logger = logging.getLogger(__name__)
GRACE_MS: Final = 2_000
_TICK_S: Final = 0.05
_BEAT_MS: Final = 1_000
_MAX_LETTER: Final = 10_000


@dataclass(slots=True, kw_only=True)
class Feed:
    """Reads the trades of some markets of one venue into an outbox, until it is cancelled.

    ``sequences`` hold one logic per market, by the venue's symbol, each knowing where an earlier
    run stopped. Whatever a logic returns is passed on before any logic is asked again.
    """

    adapter: Adapter
    ws_url: str
    sequences: dict[str, SequenceLogic]
    outbox: Outbox
    rest: Rest
    now_ms: Callable[[], int]
    random: Callable[[], float]
    status: FeedStatus
    _backoff: Backoff = field(default_factory=Backoff)
    _sockets: dict[VenueSocket, asyncio.Task[None]] = field(
        default_factory=dict[VenueSocket, "asyncio.Task[None]"]
    )
    _fetches: asyncio.Queue[Fetch] = field(default_factory=asyncio.Queue[Fetch])
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _beat_ms: int = 0

    async def run(self) -> None:
        """Feed until cancelled; only Kafka's failures and faults of this program end it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_connected())
                tasks.create_task(self._backfill())
                tasks.create_task(self._tick_forever())
        finally:
            for socket in list(self._sockets):
                await self._close(socket)

    # ------------------------------------------------------------------ sockets

    async def _keep_connected(self) -> None:
        current = self._open()
        while True:
            task = self._sockets[current]
            await asyncio.wait({task}, timeout=self.adapter.venue.max_age_s)
            successor = None if task.done() else await self._overlap(current)
            if successor is not None:
                await self._close(current)
                current = successor
            elif task.done():
                await self._on_end(current)
                current = self._open()

    def _open(self) -> VenueSocket:
        markets = [logic.market for logic in self.sequences.values()]
        requests = self.adapter.subscribe(markets)
        socket = VenueSocket(self.ws_url, requests, set(self.sequences), self.now_ms)
        self._sockets[socket] = asyncio.create_task(socket.read(self._on_payload))
        return socket

    async def _overlap(self, current: VenueSocket) -> VenueSocket | None:
        successor = self._open()
        ready = asyncio.create_task(successor.is_ready.wait())
        ended = {self._sockets[current], self._sockets[successor]}
        await asyncio.wait({ready, *ended}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if successor.is_ready.is_set() and not any(task.done() for task in ended):
            return successor
        await self._close(successor)
        return None

    async def _close(self, socket: VenueSocket) -> BaseException | None:
        task = self._sockets.pop(socket)
        async with self._turn:  # never between two outputs of one logic
            task.cancel()
        await asyncio.wait({task})
        return None if task.cancelled() else task.exception()

    async def _on_end(self, socket: VenueSocket) -> None:
        for logic in self.sequences.values():
            logic.on_disconnect()
        error = await self._close(socket)
        if error is not None and not isinstance(error, OSError | WebSocketException):
            raise error
        reason = "frozen" if error is None else repr(error)
        self.status.state, self.status.last_error = "connecting", reason
        wait_s = self._backoff.next_s(self.random)
        logger.warning(
            "socket ended venue=%s reason=%s retry_s=%.2f", self.status.venue, reason, wait_s
        )
        await asyncio.sleep(wait_s)

    # ----------------------------------------------------------------- messages

    async def _on_payload(self, socket: VenueSocket, payload: bytes) -> None:
        self.status.last_message_ms = self.now_ms()
        async with self._turn:
            try:
                messages = self.adapter.parse(payload)
            except BadRecordError as error:
                await self._bury(payload, error.reason)
                return
            for symbol, group in groupby(messages, key=_symbol):
                if symbol is not None:
                    await self._on_trades(symbol, [m for m in group if isinstance(m, VenueTrade)])
                    continue
                for message in group:
                    if isinstance(message, Ack):
                        self._on_ack(socket, message)
                    elif isinstance(message, Refusal):
                        self._on_refusal(message)

    async def _on_trades(self, symbol: str, trades: Sequence[VenueTrade]) -> None:
        logic = self.sequences.get(symbol)
        if logic is not None:
            now_ms = self.now_ms()
            self.status.lag_ms = now_ms - trades[-1].time_us // 1000
            await self._emit(logic, logic.on_trades(trades, now_ms=now_ms))

    def _on_ack(self, socket: VenueSocket, ack: Ack) -> None:
        for symbol in self.sequences if ack.symbols is None else ack.symbols:
            if symbol in self.sequences:
                self.sequences[symbol].on_subscribed(now_ms=self.now_ms())
        was_ready = socket.is_ready.is_set()
        socket.ack(ack.symbols)
        self._backoff.reset()
        if socket.is_ready.is_set() and not was_ready:
            self.status.connects += 1
            logger.info("subscribed venue=%s markets=%d", self.status.venue, len(self.sequences))

    def _on_refusal(self, refusal: Refusal) -> None:
        self.status.refusals += 1
        self.status.last_error = refusal.reason
        logger.error("venue refuses venue=%s reason=%s", self.status.venue, refusal.reason)

    async def _bury(self, payload: bytes, reason: str) -> None:
        origin = f"venue:{self.status.venue}"
        letter = DeadLetter(
            topic=origin,
            partition=-1,
            offset=self.status.bad_messages,
            reason=reason,
            key=origin,
            value=payload[:_MAX_LETTER].decode(errors="replace"),
        )
        self.status.bad_messages += 1
        logger.warning("bad message venue=%s reason=%s", self.status.venue, reason)
        await self.outbox.send(letter)

    async def _emit(self, logic: SequenceLogic, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Delivery(trades):
                    self.status.trades += len(trades)
                    await self.outbox.put(logic.market, trades)
                case Gap():
                    self.status.on_gap(output)
                    logger.warning("gap market=%s filled=%s", output.market, output.filled)
                    await self.outbox.send(output)
                case Fetch():
                    self._fetches.put_nowait(output)  # at most one per market is under way
                case _:
                    assert_never(output)

    # ---------------------------------------------------------------- backfills

    async def _backfill(self) -> None:
        while True:
            end_if_told()
            fetch = await self._fetches.get()
            logic = self.sequences[self.adapter.symbol(fetch.market)]
            request = self.adapter.backfill_request(fetch.market, fetch.after)
            reason, retry_ms = "", None
            page = None
            try:
                page = self.adapter.parse_backfill(fetch.market, await self.rest.get(request))
            except BadRecordError as error:
                reason = error.reason
            except RetryableError as error:
                reason, retry_ms = str(error), round(error.retry_after_s * 1000)
            async with self._turn:
                now_ms = self.now_ms()
                if page is not None:
                    outputs = logic.on_page(fetch, page, now_ms=now_ms)
                else:
                    logger.warning("no backfill market=%s reason=%s", fetch.market, reason)
                    outputs = logic.on_failure(fetch, reason, now_ms=now_ms, retry_ms=retry_ms)
                await self._emit(logic, outputs)

    # ----------------------------------------------------------------- promises

    async def _tick_forever(self) -> None:
        while True:
            end_if_told()
            await asyncio.sleep(_TICK_S)
            now_ms = self.now_ms()
            async with self._turn:
                for logic in self.sequences.values():
                    await self._emit(logic, logic.on_tick(now_ms=now_ms))
                if now_ms - self._beat_ms >= _BEAT_MS:
                    self._beat_ms = now_ms
                    await self._beat(now_ms)

    async def _beat(self, now_ms: int) -> None:
        for socket, task in list(self._sockets.items()):
            if socket.liveness.is_silent(now_ms=now_ms):
                task.cancel()
            elif not self.adapter.venue.has_heartbeats:
                await socket.ping()
        self.status.duplicates = sum(logic.duplicates for logic in self.sequences.values())
        await self._promise()

    async def _promise(self) -> None:
        if not any(logic.is_subscribed for logic in self.sequences.values()):
            return
        ready = [logic.market for logic in self.sequences.values() if logic.is_caught_up]
        is_complete = len(ready) == len(self.sequences)
        self.status.state = "live" if is_complete else "backfilling"
        heard_ms = min(socket.heard_ms for socket in self._sockets)
        time_us = (heard_ms - GRACE_MS) * 1000
        for market in [None] if is_complete else ready:
            await self.outbox.send(
                Heartbeat(venue=self.adapter.venue.name, time_us=time_us, market=market)
            )


def _symbol(message: VenueTrade | Ack | Refusal) -> str | None:
    return message.symbol if isinstance(message, VenueTrade) else None
