"""One flush: what everybody is sent now."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chaintide.api.live.history import Part
from chaintide.api.live.limits import Limits
from chaintide.api.live.messages import SLOW_MESSAGE, encoded_snapshot
from chaintide.api.live.session import Session
from chaintide.api.live.subscription import Fanout, Subscription
from chaintide.api.live.update import Snapshots


@dataclass(frozen=True, slots=True)
class Frame:
    """One text frame, and everybody to write it to."""

    data: bytes
    sessions: list[Session]


@dataclass(slots=True)
class Delivery:
    """The frames of one flush, being put together.

    Everyone at the same place of a channel gets the very same bytes, built once; everyone with
    the same lines in one frame gets the very same frame. Usually that is everyone.

    ``overrun`` are sessions that cannot be sent every update any more although they want every
    one.
    """

    now_ms: int
    snapshots: Snapshots
    limits: Limits
    overrun: dict[Session, None] = field(default_factory=dict[Session, None])
    _skipped: dict[Subscription, None] = field(default_factory=dict[Subscription, None])
    _unfinished: dict[Subscription, None] = field(default_factory=dict[Subscription, None])
    _served: list[Session] = field(default_factory=list[Session])
    _full: set[Session] = field(default_factory=set[Session])
    _built: dict[Fanout, tuple[dict[int, Part], dict[int, Part]]] = field(
        default_factory=dict[Fanout, tuple[dict[int, Part], dict[int, Part]]]
    )
    _snapshots: dict[tuple[Fanout, int], Part] = field(
        default_factory=dict[tuple[Fanout, int], Part]
    )

    @property
    def waiting(self) -> dict[Subscription, None]:
        """Return those to whom something is, or may be, left to be sent after this flush.

        They could not be written to, were not due, or were sent much already. Those who got
        nothing come first: so the channels of one client take turns.
        """
        return self._skipped | self._unfinished

    def serve(self, fanout: Fanout, subscriptions: Iterable[Subscription]) -> None:
        """Take up what these subscriptions of one channel are to be sent."""
        built = self._built.setdefault(fanout, ({}, {}))
        now_ms, skipped, full, served = self.now_ms, self._skipped, self._full, self._served
        for subscription in subscriptions:
            session = subscription.session
            if (
                not session.is_writable
                or subscription.due_ms > now_ms
                or (full and session in full)
            ):
                skipped[subscription] = None
                continue
            known = built[subscription.is_buffer]
            part = known.get(subscription.seq) or self._build(fanout, subscription, known)
            if part is None or not part.data:
                continue
            if session.parts:
                session.parts = (*session.parts, part.data)
            else:
                session.parts = (part.data,)
                served.append(session)
            subscription.seq = part.seq
            if part.is_light and not subscription.interval_ms:
                continue
            self._note(subscription, part)

    def frames(self) -> list[Frame]:
        """Return the frames, one for each session that is sent something."""
        for session in self.overrun:
            if not session.parts:
                self._served.append(session)
            session.parts = (*session.parts, SLOW_MESSAGE)
        frames: dict[tuple[bytes, ...], Frame] = {}
        for session in self._served:
            parts, session.parts = session.parts, ()
            frame = frames.get(parts)
            if frame is None:
                frame = frames[parts] = Frame(b"\n".join(parts), [])
            frame.sessions.append(session)
            session.sent_ms = self.now_ms
        return list(frames.values())

    def _build(
        self, fanout: Fanout, subscription: Subscription, known: dict[int, Part]
    ) -> Part | None:
        history = fanout.history
        part = history.part_after(
            subscription.seq, is_buffer=subscription.is_buffer, now_ms=self.now_ms
        )
        if part is not None:
            known[subscription.seq] = part
        elif subscription.is_buffer:
            self.overrun[subscription.session] = None
        else:
            part = self._snapshot(fanout, subscription)
        return part

    def _snapshot(self, fanout: Fanout, subscription: Subscription) -> Part | None:
        key = (fanout, subscription.snapshot_count)
        if key in self._snapshots:
            return self._snapshots[key]
        snapshot = self.snapshots.snapshot(fanout.name, subscription.snapshot_count)
        if snapshot is None:
            self._skipped[subscription] = None
            return None
        line = encoded_snapshot(fanout.name, snapshot, recovered=False)
        has_more = snapshot.seq < fanout.history.head
        is_light = not has_more and len(line) <= self.limits.heavy_bytes
        self._snapshots[key] = Part(line, snapshot.seq, has_more, is_light)
        return self._snapshots[key]

    def _note(self, subscription: Subscription, part: Part) -> None:
        if part.has_more:
            self._unfinished[subscription] = None
        if len(part.data) > self.limits.heavy_bytes:
            self._full.add(subscription.session)
        if interval_ms := subscription.interval_ms:
            subscription.due_ms = (self.now_ms // interval_ms + 1) * interval_ms
