"""One connected client: what it asks, and what it is answered."""

from dataclasses import dataclass, field

from chaintide.api.live import effects
from chaintide.api.live.directory import Directory, Plan
from chaintide.api.live.effects import Close, Effect, Load, Ping, Send
from chaintide.api.live.limits import Allowance
from chaintide.api.live.messages import (
    SLOW_MESSAGE,
    Answer,
    Heartbeat,
    Left,
    Listed,
    Pong,
    Subscribed,
    encoded,
    encoded_refusal,
    encoded_snapshot,
)
from chaintide.api.live.pulse import SILENCE_MS, Pulse
from chaintide.api.live.requests import (
    ErrorCode,
    ListSubscriptions,
    PingRequest,
    Refusal,
    Request,
    Subscribe,
    Unsubscribe,
    parse_request,
)
from chaintide.api.live.subscription import Subscription, interval_of


@dataclass(slots=True, eq=False)
class Pending:
    """A request that waits until entries of these channels have been loaded."""

    request: Subscribe
    loading: set[str]

    def cancel(self, name: str) -> None:
        """Ask for that channel no more, and wait for it no more."""
        kept = [wanted for wanted in self.request.channels if wanted.ch != name]
        self.request = Subscribe(kept, self.request.id)
        self.loading.discard(name)


@dataclass(slots=True, eq=False)
class Session:
    """The logic of one client.

    The adapter sets ``is_writable`` to false when its transport has no room, and calls
    ``on_writable`` when it has again. It carries out effects in
    their order and before the next flush; so a channel begins with the answer, then comes the
    snapshot if any, then updates. ``parts`` is empty but during a flush.
    """

    directory: Directory
    pulse: Pulse
    allowance: Allowance
    sent_ms: int
    is_writable: bool = True
    is_closed: bool = False
    subscriptions: dict[str, Subscription] = field(default_factory=dict[str, Subscription])
    parts: tuple[bytes, ...] = ()
    _pending: list[Pending] = field(default_factory=list[Pending])
    _unread_bytes: int = 0

    def on_writable(self) -> None:
        """Note that the transport has room again, as what was written has been read."""
        self.is_writable = True
        self._unread_bytes = 0

    def on_backlog(self, unwritten_bytes: int) -> None:
        """Note how much the transport still holds: of the answers no more can be unread."""
        self._unread_bytes = min(self._unread_bytes, unwritten_bytes)

    def on_sign(self) -> None:
        """Note that something came that says nothing but that the client lives, like a pong."""
        self.pulse.on_sign()

    def on_binary(self) -> list[Effect]:
        """Refuse a binary frame."""
        return self._end(effects.BINARY)

    def on_text(self, text: str | bytes, *, now_ms: int) -> list[Effect]:
        """Return what a text frame, a single request, leads to."""
        if self.is_closed:
            return []
        self.pulse.on_sign()
        try:
            data = text.encode() if isinstance(text, str) else text
            data.decode()
        except UnicodeError:
            return self._end(effects.NOT_UTF8)
        if len(data) > self.directory.limits.message_bytes:
            return self._end(effects.TOO_BIG)
        if not self.allowance.take(now_ms=now_ms):
            return self._end(effects.TOO_FAST)
        request = parse_request(data)
        if request is None:
            return self._end(effects.BAD_REQUEST)
        return self._answered(self._answer(request, now_ms), now_ms)

    def on_loaded(self, channel: str, *, now_ms: int) -> list[Effect]:
        """Return the answers that waited for a ``Load`` of ``channel``, which is over."""
        for pending in self._pending:
            pending.loading.discard(channel)
        return self._answered(self._begin_loaded(), now_ms)

    def on_tick(self, *, now_ms: int, clock_ms: int, jitter: float) -> list[Effect]:
        """Return the ping, heartbeat or end that is due; ``clock_ms`` is the clock of pulses."""
        if self.pulse.is_dead(clock_ms=clock_ms):
            return self._end(effects.NO_PONG)
        outcome: list[Effect] = []
        if self.pulse.is_ping_due(clock_ms=clock_ms):
            self.pulse.on_ping(clock_ms=clock_ms, jitter=jitter)
            outcome.append(Ping())
        if self.is_writable and now_ms - self.sent_ms >= SILENCE_MS:
            self.sent_ms = now_ms
            outcome.append(Send(encoded(Heartbeat(self._wall_ms(now_ms)))))
        return outcome

    def end(self) -> None:
        """Leave every channel and answer nothing more; do nothing if that has happened."""
        self.is_closed = True
        for subscription in self.subscriptions.values():
            self.directory.detach(subscription)
        self.subscriptions.clear()
        self._pending.clear()

    def _wall_ms(self, now_ms: int) -> int:
        return now_ms + self.directory.wall_lead_ms

    def _end(self, close: Close) -> list[Effect]:
        if self.is_closed:
            return []
        self.end()
        return [close]

    def _answered(self, outcome: list[Effect], now_ms: int) -> list[Effect]:
        # Answers are never left out: who does not read them is disconnected at a bound.
        size = sum(len(effect.data) for effect in outcome if isinstance(effect, Send))
        if not size:
            return outcome
        self.sent_ms = now_ms
        if self.is_writable:
            return outcome
        self._unread_bytes += size
        if self._unread_bytes > self.directory.limits.unread_bytes:
            return [Send(SLOW_MESSAGE), *self._end(effects.SLOW)]
        return outcome

    def _answer(self, request: Request | Refusal, now_ms: int) -> list[Effect]:
        match request:
            case Refusal():
                return [Send(encoded_refusal(request))]
            case Subscribe():
                return self._subscribe(request, is_loaded=False)
            case Unsubscribe():
                return self._unsubscribe(request)
            case ListSubscriptions():
                return [Send(encoded(Answer(request.id, self._listing())))]
            case PingRequest():
                return [Send(encoded(Pong(request.id, self._wall_ms(now_ms))))]
            case _:
                reason = "there are no accounts yet; public channels need none"
                return [Send(encoded_refusal(Refusal(request.id, ErrorCode.NOT_AVAILABLE, reason)))]

    def _subscribe(self, request: Subscribe, *, is_loaded: bool) -> list[Effect]:
        refusal = self._objection(request)
        if refusal is not None:
            return [Send(encoded_refusal(refusal))]
        plans: list[Plan] = []
        for wanted in request.channels:
            plan = self.directory.plan(wanted)
            if plan is None:
                reason = self.directory.refusal(wanted.ch)
                refusal = Refusal(request.id, ErrorCode.UNKNOWN_CHANNEL, reason)
                return [Send(encoded_refusal(refusal))]
            plans.append(plan)
        loads: list[Effect] = [
            Load(plan.wanted.ch, plan.count)
            for plan in plans
            if plan.snapshot is not None and plan.snapshot.is_short
        ]
        if loads and not is_loaded:
            loading = {load.channel for load in loads if isinstance(load, Load)}
            self._pending.append(Pending(request, loading))
            return loads
        return self._begin(request, plans)

    def _objection(self, request: Subscribe) -> Refusal | None:
        names = [wanted.ch for wanted in request.channels]
        taken = {*self.subscriptions, *self._pending_names()}
        limits = self.directory.limits
        for place, name in enumerate(names):
            if name in taken or name in names[:place]:
                reason = f"already subscribed to `{name}`"
                return Refusal(request.id, ErrorCode.ALREADY_SUBSCRIBED, reason)
        if len(taken) + len(names) > limits.channels:
            reason = f"more than {limits.channels} channels"
            return Refusal(request.id, ErrorCode.LIMIT_EXCEEDED, reason)
        if sum(wanted.snapshot for wanted in request.channels) > limits.request_items:
            reason = f"more than {limits.request_items} entries of snapshots in one request"
            return Refusal(request.id, ErrorCode.LIMIT_EXCEEDED, reason)
        return None

    def _pending_names(self) -> list[str]:
        return [wanted.ch for pending in self._pending for wanted in pending.request.channels]

    def _begin(self, request: Subscribe, plans: list[Plan]) -> list[Effect]:
        for plan in plans:
            fanout = self.directory.fanout(plan.wanted.ch, floor=plan.now_seq)
            subscription = Subscription(
                session=self,
                fanout=fanout,
                seq=plan.seq,
                is_buffer=plan.wanted.policy == "buffer",
                snapshot_count=plan.count,
                interval_ms=interval_of(plan.wanted.max_hz),
            )
            self.subscriptions[fanout.name] = subscription
            self.directory.attach(subscription)
        epoch = self.directory.epoch
        results = [Subscribed(plan.wanted.ch, epoch, plan.seq, plan.recovered) for plan in plans]
        snapshots = [
            Send(
                encoded_snapshot(
                    plan.wanted.ch, plan.snapshot, recovered=False if plan.wanted.resume else None
                )
            )
            for plan in plans
            if plan.snapshot is not None
        ]
        return [Send(encoded(Answer(request.id, results))), *snapshots]

    def _begin_loaded(self) -> list[Effect]:
        ready = [pending.request for pending in self._pending if not pending.loading]
        self._pending = [pending for pending in self._pending if pending.loading]
        return [effect for request in ready for effect in self._subscribe(request, is_loaded=True)]

    def _unsubscribe(self, request: Unsubscribe) -> list[Effect]:
        taken = {*self.subscriptions, *self._pending_names()}
        for place, name in enumerate(request.channels):
            if name not in taken or name in request.channels[:place]:
                reason = f"not subscribed to `{name}`"
                refusal = Refusal(request.id, ErrorCode.NOT_SUBSCRIBED, reason)
                return [Send(encoded_refusal(refusal))]
        results = [self._leave(name) for name in request.channels]
        return [*self._begin_loaded(), Send(encoded(Answer(request.id, results)))]

    def _leave(self, name: str) -> Left:
        epoch = self.directory.epoch
        subscription = self.subscriptions.pop(name, None)
        if subscription is not None:
            self.directory.detach(subscription)
            return Left(name, epoch, subscription.seq)
        for pending in self._pending:
            pending.cancel(name)
        return Left(name, epoch, 0)

    def _listing(self) -> list[Listed]:
        return [
            Listed(name, self.directory.epoch, held.seq, held.policy, held.max_hz)
            for name, held in self.subscriptions.items()
        ]
