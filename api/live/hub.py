"""Who gets what of what is published: the whole protocol, without sockets."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Final

from chaintide.api.live import effects
from chaintide.api.live.delivery import Delivery, Frame
from chaintide.api.live.directory import Directory
from chaintide.api.live.effects import Close, Effect
from chaintide.api.live.limits import Allowance
from chaintide.api.live.messages import Goaway, encoded
from chaintide.api.live.pulse import Pulse, ping_after_ms
from chaintide.api.live.session import Session
from chaintide.api.live.update import Update

RETRY_AFTER_MS: Final = (500, 8_000)


@dataclass(frozen=True, slots=True)
class Flush:
    """What to write now; then the connections to close.

    ``due_ms`` is when to flush again if nothing happens until then, None for not at all: who is
    waiting cannot be written to.
    """

    frames: list[Frame]
    closes: list[tuple[Session, Close]]
    due_ms: int | None


@dataclass(slots=True)
class Hub:
    """All sessions of one process, and what they are sent.

    ``now_ms`` is the time since the Unix epoch and never goes back. ``jitter`` returns numbers
    between 0 and 1, at random.

    >>> from chaintide.api.live.update import Snapshot
    >>> class Empty:
    ...     def snapshot(self, channel: str, count: int) -> Snapshot:
    ...         return Snapshot(seq=7_000, data=[])
    >>> hub = Hub(Directory("k3f9", Empty()), jitter=lambda: 0.5)
    >>> session = hub.open(now_ms=0)
    >>> request = '{"id":1,"op":"subscribe","channels":[{"ch":"status"}]}'
    >>> session.on_text(request, now_ms=0)[0].data
    b'{"id":1,"results":[{"ch":"status","epoch":"k3f9","seq":7000,"recovered":null}],"ok":true}'
    """

    directory: Directory
    jitter: Callable[[], float]
    sessions: dict[Session, None] = field(default_factory=dict[Session, None])
    is_draining: bool = False
    _lag_ms: int = 0

    def open(self, *, now_ms: int) -> Session:
        """Return the session of a client that has just connected."""
        limits = self.directory.limits
        session = Session(
            directory=self.directory,
            pulse=Pulse(now_ms - self._lag_ms + ping_after_ms(self.jitter())),
            allowance=Allowance(limits.messages_per_s, limits.burst),
            sent_ms=now_ms,
        )
        self.sessions[session] = None
        return session

    def close(self, session: Session) -> None:
        """Forget a session whose connection has ended, for whatever reason; safe to repeat."""
        session.end()
        self.sessions.pop(session, None)

    def publish(self, updates: Iterable[Update]) -> bool:
        """Take updates in and return whether to flush now, not at the next regular time.

        That is when half of what a history can hold has come since the last flush: whoever
        keeps up must never fall behind. An update not newer than the newest is a repeat.
        """
        directory = self.directory
        is_urgent = False
        for update in updates:
            fanout = directory.fanout(update.channel, floor=update.seq - 1)
            if directory.append(fanout, update) and fanout.subscriptions:
                directory.dirty[fanout] = None
                is_urgent = is_urgent or fanout.history.is_half_new
        return is_urgent

    def flush(self, *, now_ms: int) -> Flush:
        """Return frames for the sessions that are writable and have something due.

        A session is in one frame at most.

        A client at the end of its history is sent what is new, one behind it what it missed, as
        its policy says. One below what the history keeps is sent a snapshot under ``latest``;
        under ``buffer`` it is told ``slow`` and closed.
        """
        directory = self.directory
        delivery = Delivery(now_ms, directory.snapshots, directory.limits)
        # Those who wait come first: nothing that is published now can keep them waiting.
        for fanout, subscriptions in groupby(directory.waiting, attrgetter("fanout")):
            delivery.serve(fanout, subscriptions)
        for fanout in directory.dirty:
            delivery.serve(fanout, fanout.subscriptions)
            fanout.history.on_flush()
        directory.dirty = {}
        directory.waiting = delivery.waiting
        frames = delivery.frames()
        for session in delivery.overrun:
            session.end()
        ready = (held.due_ms for held in directory.waiting if held.session.is_writable)
        closes = [(session, effects.SLOW) for session in delivery.overrun]
        return Flush(frames, closes, min(ready, default=None))

    def tick(self, *, now_ms: int, loop_lag_ms: int) -> list[tuple[Session, Effect]]:
        """Return pings, heartbeats and ends that are due; call it about once a second.

        ``loop_lag_ms`` is by how much later than planned the event loop called.
        """
        self._lag_ms += loop_lag_ms
        clock_ms = now_ms - self._lag_ms
        return [
            (session, effect)
            for session in self.sessions
            if not session.is_closed
            for effect in session.on_tick(now_ms=now_ms, clock_ms=clock_ms, jitter=self.jitter())
        ]

    def goaway(self, reason: str) -> Frame:
        """Return the last word to everybody; close them with ``SHUTDOWN`` a little later."""
        self.is_draining = True
        data = encoded(Goaway(reason, RETRY_AFTER_MS))
        return Frame(data, [session for session in self.sessions if not session.is_closed])
