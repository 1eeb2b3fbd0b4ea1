"""Keep a hub going: its timers, what it asks for, and the writing of what it returns."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar, assert_never

from chaintide.api.live.effects import SHUTDOWN, Close, Effect, Load, Ping, Send
from chaintide.api.live.hub import Hub
from chaintide.api.live.session import Session
from chaintide.api.live.update import Update

TICK_S: Final = 1.0
# After a flush that took a time, nothing for four times as long: but for 10 ms at least, and
# no longer than that the next one begins 100 ms after it.
REST_S: Final = 0.01
PERIOD_S: Final = 0.1
REST: Final = 4
GOODBYE_S: Final = 0.5
PROMPT: Final = "prob:"
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


def rest_s(took_s: float) -> float:
    """Return how long to join what is published before the next flush.

    >>> rest_s(0.001), rest_s(0.005), rest_s(0.05), rest_s(0.12)
    (0.01, 0.02, 0.05, 0.01)
    """
    return max(REST_S, min(REST * took_s, PERIOD_S - took_s))


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a server, in milliseconds since the Unix epoch.

    ``steady_ms`` never goes back, whatever is done to the machine's clock; ``wall_ms`` is that.
    """

    steady_ms: Callable[[], int]
    wall_ms: Callable[[], int]


class Wire(Protocol[T_contra]):
    """One connection as its adapter gives it; nothing here waits.

    The adapter keeps ``Session.is_writable`` true to whether the connection takes more.
    """

    @property
    def backlog_bytes(self) -> int:
        """Return how much has been written to it that it still holds."""
        ...

    def write(self, frame: T_contra, /) -> object:
        """Write a frame that was prepared."""
        ...

    def ping(self) -> None:
        """Write a ping frame."""
        ...

    def close(self, close: Close) -> None:
        """Close the connection."""
        ...


class Pump(Generic[T]):
    """The one place where a hub meets the event loop, the same for every adapter.

    ``prepare`` makes of the content of a text frame, once for all who get it, what wires write.
    ``load`` brings entries of a channel from the store into the state; it may fail.
    """

    def __init__(
        self,
        hub: Hub,
        prepare: Callable[[bytes], T],
        load: Callable[[str, int], Awaitable[None]],
        clocks: Clocks,
    ) -> None:
        self.hub = hub
        self._prepare = prepare
        self._load = load
        self._clocks = clocks
        self._wires: dict[Session, Wire[T]] = {}
        self._timer: asyncio.Handle | None = None
        self._due_s = 0.0
        self._next_s = 0.0
        self._loading: set[asyncio.Task[None]] = set()

    def join(self, wire: Wire[T]) -> Session:
        """Return the session of a new connection."""
        session = self.hub.open(now_ms=self._now_ms())
        self._wires[session] = wire
        return session

    def leave(self, session: Session) -> None:
        """Forget a connection that has ended; safe to repeat."""
        self._wires.pop(session, None)
        self.hub.close(session)

    def on_text(self, session: Session, text: str | bytes) -> None:
        """Answer a text frame."""
        if not session.is_writable and session in self._wires:
            session.on_backlog(self._wires[session].backlog_bytes)
        self._carry_out(session, session.on_text(text, now_ms=self._now_ms()))

    def on_binary(self, session: Session) -> None:
        """Answer a binary frame."""
        self._carry_out(session, session.on_binary())

    def on_writable(self, session: Session) -> None:
        """Go on with a connection that takes more again."""
        session.on_writable()
        if self.hub.directory.waiting:
            self._schedule()

    def publish(self, updates: Iterable[Update]) -> None:
        """Send updates to whoever wants them, at once or with the next ones.

        Predictions come all together when candles close, and rarely: they go out at once.
        """
        is_prompt = False
        for update in updates:  # however many there are, no history runs over between flushes
            is_prompt = is_prompt or update.channel.startswith(PROMPT)
            if self.hub.publish((update,)):
                self._flush()
        if self.hub.directory.dirty and is_prompt:
            self._flush()
        elif self.hub.directory.dirty:
            self._schedule()

    async def run(self) -> None:
        """Ping, notice the dead and break silences until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            planned_s = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            lag_ms = int((loop.time() - planned_s) * 1000)
            for session, effect in self.hub.tick(now_ms=self._now_ms(), loop_lag_ms=lag_ms):
                self._carry_out(session, [effect])

    async def drain(self, reason: str) -> None:
        """Tell everybody to come back later or elsewhere, then close them."""
        goodbye = self.hub.goaway(reason)
        frame = self._prepare(goodbye.data)
        for session in goodbye.sessions:
            self._wires[session].write(frame)
        if goodbye.sessions:
            await asyncio.sleep(GOODBYE_S)
        left = list(self._wires)
        for session in left:
            self._carry_out(session, [SHUTDOWN])
        if left:  # adapters may write in tasks of their own, and the server ends after this
            await asyncio.sleep(REST_S)

    def _now_ms(self) -> int:
        now_ms = self._clocks.steady_ms()
        self.hub.directory.wall_lead_ms = self._clocks.wall_ms() - now_ms
        return now_ms

    def _schedule(self, wait_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        at_s = max(self._next_s, loop.time() + wait_s)
        if self._timer is not None:
            if self._due_s <= at_s:
                return
            self._timer.cancel()
        self._timer, self._due_s = loop.call_at(at_s, self._flush), at_s

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        time_s = asyncio.get_running_loop().time
        began_s = time_s()
        now_ms = self._now_ms()
        flush = self.hub.flush(now_ms=now_ms)
        wires = self._wires
        for frame in flush.frames:
            prepared = self._prepare(frame.data)
            for session in frame.sessions:
                wires[session].write(prepared)
        for session, close in flush.closes:
            self._carry_out(session, [close])
        ended_s = time_s()
        self._next_s = ended_s + rest_s(ended_s - began_s)
        if flush.due_ms is not None:
            self._schedule(max(0, flush.due_ms - now_ms) / 1000)

    def _carry_out(self, session: Session, effects: list[Effect]) -> None:
        wire = self._wires.get(session)
        if wire is None:
            return
        for effect in effects:
            match effect:
                case Send():
                    wire.write(self._prepare(effect.data))
                case Load():
                    task = asyncio.create_task(self._loaded(session, effect))
                    self._loading.add(task)
                    task.add_done_callback(self._loading.discard)
                case Ping():
                    wire.ping()
                case Close():
                    self.leave(session)
                    wire.close(effect)
                case _:
                    assert_never(effect)
        if self.hub.directory.waiting:
            self._schedule()

    async def _loaded(self, session: Session, wanted: Load) -> None:
        try:
            await self._load(wanted.channel, wanted.count)
        finally:  # the answer must not wait for ever
            self._carry_out(session, session.on_loaded(wanted.channel, now_ms=self._now_ms()))
