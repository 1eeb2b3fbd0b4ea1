"""All channels of one process, and how a subscription begins in them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from chaintide.api.live.channels import KINDS, parse_channel
from chaintide.api.live.history import History
from chaintide.api.live.limits import Limits
from chaintide.api.live.requests import Resume, Wanted
from chaintide.api.live.subscription import Fanout, Subscription
from chaintide.api.live.update import Snapshot, Snapshots, Update


@dataclass(frozen=True, slots=True)
class Plan:
    """How a subscription will begin: after ``seq``, and with a snapshot if there is one.

    ``now_seq`` is where the channel is now: a client may be ahead of it, having been served by
    another process. ``count`` is how many entries a snapshot has, now or when it falls behind.
    """

    wanted: Wanted
    seq: int
    now_seq: int
    recovered: bool | None
    count: int
    snapshot: Snapshot | None = None


def _no_advice(_subject: str) -> str:
    """Return nothing: nobody knows what may have been meant."""
    return ""


@dataclass(slots=True)
class Directory:
    """The channels by name.

    ``epoch`` names the log that all seqs are places in. ``dirty`` are the channels in which
    something was published since the last flush, ``waiting`` the subscriptions that something
    is left to be sent to. All histories together hold ``held_bytes``. The clock of everything
    here never goes back; ``wall_lead_ms`` is by how much the server's wall clock is ahead of it.
    ``advise`` returns what to say of a subject that has no channels.
    """

    epoch: str
    snapshots: Snapshots
    limits: Limits = field(default_factory=Limits)
    fanouts: dict[str, Fanout] = field(default_factory=dict[str, Fanout])
    dirty: dict[Fanout, None] = field(default_factory=dict[Fanout, None])
    waiting: dict[Subscription, None] = field(default_factory=dict[Subscription, None])
    held_bytes: int = 0
    wall_lead_ms: int = 0
    advise: Callable[[str], str] = _no_advice
    # Those nobody is subscribed to, the one that was left first, first.
    _idle: dict[Fanout, None] = field(default_factory=dict[Fanout, None])

    def fanout(self, name: str, *, floor: int) -> Fanout:
        """Return the channel of that name; a new one knows what comes after ``floor``."""
        if name not in self.fanouts:
            self.fanouts[name] = Fanout(name, History(floor, self.limits))
        return self.fanouts[name]

    def append(self, fanout: Fanout, update: Update) -> bool:
        """Take an update into the history of its channel and return whether it is new.

        When all histories are too large together, those are cleared that nobody is subscribed
        to, and whoever comes back to one of them cannot resume.
        """
        before_bytes = fanout.history.data_bytes
        is_new = fanout.history.append(update)
        self.held_bytes += fanout.history.data_bytes - before_bytes
        if not fanout.subscriptions:
            self._idle.setdefault(fanout)
        while self.held_bytes > self.limits.total_bytes and self._idle:
            cleared = next(iter(self._idle))
            del self._idle[cleared]
            self.held_bytes -= cleared.history.data_bytes
            cleared.history.clear()
        return is_new

    def plan(self, wanted: Wanted) -> Plan | None:
        """Return how a subscription would begin, or None if there is no such channel.

        Resuming is all or nothing: either nothing is missed, or nothing but the snapshot counts.
        """
        channel = parse_channel(wanted.ch)
        now = self.snapshots.snapshot(wanted.ch, 0) if channel else None
        if channel is None or now is None:
            return None
        count = wanted.snapshot or KINDS[channel.kind].default_count
        if wanted.resume is not None:
            seq = self._position(wanted.ch, wanted.resume, now.seq)
            if seq is not None:
                return Plan(wanted, seq, now.seq, recovered=True, count=count)
        elif not wanted.snapshot:
            return Plan(wanted, now.seq, now.seq, recovered=None, count=count)
        snapshot = self.snapshots.snapshot(wanted.ch, count) or now
        recovered = None if wanted.resume is None else False
        return Plan(wanted, snapshot.seq, snapshot.seq, recovered, count, snapshot)

    def refusal(self, name: str) -> str:
        """Return why nobody can subscribe to a channel of that name."""
        channel = parse_channel(name)
        if channel is not None and (said := self.advise(channel.subject)):
            return f"no channel `{name}`: {said}"
        return f"no channel `{name}`; there are {', '.join(kind.shape for kind in KINDS.values())}"

    def attach(self, subscription: Subscription) -> None:
        """Send to ``subscription`` from the next flush on."""
        subscription.fanout.subscriptions[subscription] = None
        self._idle.pop(subscription.fanout, None)
        self.waiting[subscription] = None

    def detach(self, subscription: Subscription) -> None:
        """Send nothing more to ``subscription``; forget a channel in which nothing ever was."""
        fanout = subscription.fanout
        fanout.subscriptions.pop(subscription, None)
        self.waiting.pop(subscription, None)
        if fanout.subscriptions:
            return
        if fanout.history.is_untouched:
            self.fanouts.pop(fanout.name, None)
        else:
            self._idle[fanout] = None

    def _position(self, name: str, resume: Resume, now_seq: int) -> int | None:
        fanout = self.fanouts.get(name)
        history = History(now_seq, self.limits) if fanout is None else fanout.history
        if resume.since_ms is not None:
            return history.position_at(resume.since_ms)
        seq = resume.seq or 0
        is_ours = resume.epoch == self.epoch and history.has_since(seq)
        return seq if is_ours else None
