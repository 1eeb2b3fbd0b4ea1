"""What a client knows is what the server knows, or the client has been told.

Two processes read one log at their own pace, are restarted, and serve clients that read slowly,
leave, come back to either of them, and resume from positions that are right, old, foreign or ahead.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chaintide.api.live.directory import Directory
from chaintide.api.live.effects import SLOW, Load
from chaintide.api.live.hub import Hub
from chaintide.api.live.limits import Limits
from chaintide.api.live.update import Snapshot, Update

if TYPE_CHECKING:
    from chaintide.api.live.session import Session

CHANNELS = ["candles:x:A:1m", "ticker:x:A"]
EPOCH = "k3f9"
KEPT = 4
LIMITS = Limits(
    history_updates=KEPT,
    part_bytes=200,
    heavy_bytes=150,
    unread_bytes=10**9,
    messages_per_s=10**6,
    burst=10**6,
)
PROCESSES = st.sampled_from([0, 1])
CLIENTS = st.integers(0, 2)

View = dict[int, int]


class Process:
    """A reader of the log with its state, and the hub it feeds; the port of snapshots too."""

    def __init__(self, log: list[Update], begin: int):
        self.log, self.began, self.applied = log, begin, begin
        self.is_short = False
        self.hub = Hub(Directory(EPOCH, self, LIMITS), jitter=lambda: 0.5)
        self.published: dict[str, list[Update]] = {channel: [] for channel in CHANNELS}

    def head(self, channel: str) -> int:
        """Return the seq of the newest update it has read itself, 0 if there is none."""
        read = self.log[self.began : self.applied]
        return max((u.seq for u in read if u.channel == channel), default=0)

    def snapshot(self, channel: str, count: int) -> Snapshot:
        view = self.view(channel, count)
        data = [msgspec.json.encode([key, seq]) for key, seq in sorted(view.items())]
        return Snapshot(self.head(channel), data, is_short=self.is_short and count > 0)

    def view(self, channel: str, count: int) -> View:
        """Return what a store knew before it began, and what it has read since."""
        view = {u.key: u.seq for u in self.log[: self.applied] if u.channel == channel}
        newest = sorted(view)[-count:] if count else []
        return {key: view[key] for key in newest}

    def advance(self, count: int) -> None:
        new = self.log[self.applied : self.applied + count]
        self.applied += len(new)
        self.hub.publish(new)
        self.hub.publish(new[-1:])  # a repeat
        for update in new:
            self.published[update.channel].append(update)

    def floor(self, channel: str) -> int | None:
        """Return the last position that was certainly forgotten, None if nothing was."""
        published = self.published[channel]
        return published[-KEPT - 1].seq if len(published) > KEPT else None


@dataclass
class Place:
    """What a client has of one channel; ``base`` is what it began with, before log[began]."""

    policy: str
    count: int
    seq: int = 0
    view: View = field(default_factory=dict)
    base: View = field(default_factory=dict)
    began: int = 0
    is_lost: bool = False
    cell: int = -1
    interval_ms: int = 0

    def begin(self, seq: int, view: View, began: int) -> None:
        self.seq, self.began = seq, began
        self.view, self.base = dict(view), dict(view)
        self.is_lost = False


class Client:
    def __init__(self):
        self.session: Session | None = None
        self.process: Process | None = None
        self.places: dict[str, Place] = {}


class Serving(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.log: list[Update] = []
        self.seq, self.now_ms, self.published_ms = 0, 1_000, 1_000
        self.processes = [Process(self.log, 0), Process(self.log, 0)]
        self.clients = [Client() for _ in range(3)]

    @initialize(
        which=st.tuples(PROCESSES, PROCESSES, PROCESSES),
        policies=st.lists(st.sampled_from(["latest", "buffer"]), min_size=3, max_size=3),
        max_hz=st.sampled_from([None, 4]),
    )
    def start(self, which, policies, max_hz):
        keys = [(channel, key) for key in range(4) for channel in CHANNELS]
        self.write(keys + keys, 0, 1, is_correction=False, read=(14, 16))
        for client, (process, policy) in enumerate(zip(which, policies, strict=True)):
            how = (policy, max_hz, 2, 0)
            self.connect((client, process), how, "no", is_short=False, between=0)

    # -- the log and its readers

    @rule(
        keys=st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(0, 3)), min_size=1),
        later_ms=st.sampled_from([0, 0, 1, 50]),
        skipped=st.sampled_from([1, 1, 1, 1_000]),
        is_correction=st.booleans(),
        read=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    )
    def write(self, keys, later_ms, skipped, is_correction, read):
        self.published_ms += later_ms
        for channel, drawn in keys:
            self.seq += skipped
            key = drawn if channel.startswith("candles") else 0
            self.log.append(
                Update(
                    channel=channel,
                    seq=self.seq,
                    key=key,
                    type="correction" if is_correction else "update",
                    event_ms=key,
                    published_ms=self.published_ms,
                    data=msgspec.json.encode([key, self.seq]),
                )
            )
        for process, count in zip(self.processes, read, strict=True):
            process.advance(count)

    @rule(
        which=PROCESSES, behind=st.integers(0, 6), is_needed=st.sampled_from([False, False, True])
    )
    def restart(self, which, behind, is_needed):
        if not is_needed:
            return
        for client in self.clients:
            if client.process is self.processes[which]:
                self.leave(client)
        self.processes[which] = Process(self.log, max(0, len(self.log) - behind))

    # -- clients

    def leave(self, client):
        if client.session is not None:
            client.process.hub.close(client.session)
        client.session = client.process = None

    @rule(which=CLIENTS, does=st.sampled_from(["leave", "stall", "stall", "read"]))
    def turn(self, which, does):
        if does == "leave":
            self.leave(self.clients[which])
        elif self.clients[which].session is not None:
            self.clients[which].session.is_writable = does == "read"

    @rule(
        who=st.tuples(CLIENTS, PROCESSES),
        how=st.tuples(
            st.sampled_from(["latest", "buffer"]),
            st.sampled_from([None, None, 4]),
            st.sampled_from([0, 0, 2, 100]),
            st.integers(0, 3),
        ),
        resume=st.sampled_from(["no", "right", "right", "edge", "edge", "foreign"]),
        is_short=st.booleans(),
        between=st.integers(0, 3),
    )
    def connect(self, who, how, resume, is_short, between):
        policy, max_hz, snapshot, back = how
        client, process = self.clients[who[0]], self.processes[who[1]]
        if resume == "edge":
            self.move_to_edge(client, process, back)
        if not client.places or any(place.is_lost for place in client.places.values()):
            resume = "no"
        self.leave(client)
        client.session, client.process = process.hub.open(now_ms=self.now_ms), process
        channels = [
            {"ch": name, "policy": policy, "snapshot": snapshot, "max_hz": max_hz}
            | self.resume_of(client, name, resume)
            for name in CHANNELS
        ]
        for name in CHANNELS:
            place = client.places.setdefault(name, Place(policy, snapshot))
            place.policy = policy
            place.count = snapshot or (100 if name.startswith("candles") else 1)
            place.interval_ms = 0 if max_hz is None else 1_000 // max_hz
            place.cell = -1
        process.is_short = is_short
        effects = self.ask(client, {"id": 7, "op": "subscribe", "channels": channels})
        loads = [effect for effect in effects if isinstance(effect, Load)]
        if loads:
            assert effects == loads
            process.advance(between)
            self.flush_process(process)
            effects = []
            for load in loads:
                assert effects == []
                effects += client.session.on_loaded(load.channel, now_ms=self.now_ms)
        process.is_short = False
        self.begin(client, [effect.data for effect in effects], resume, snapshot)

    def move_to_edge(self, client, process, back):
        """Let the client have what somebody could who was served up to about the floor.

        If nothing was forgotten yet, that is about where the process began.
        """
        places = {}
        for name in CHANNELS:
            written = [u for u in self.log if u.channel == name]
            published = process.published[name]
            last = max(0, len(published) - KEPT) + 1 - back
            at = written.index(published[0]) + last - 1 if published else -1
            if at < 0:
                return
            places[name] = Place("latest", 0)
            places[name].begin(written[at].seq, {}, self.log.index(written[at]) + 1)
        client.places = places

    def resume_of(self, client, name, resume):
        if resume == "no":
            return {}
        epoch = "zzzz" if resume == "foreign" else EPOCH
        return {"resume": {"epoch": epoch, "seq": client.places[name].seq}}

    def ask(self, client, request):
        return client.session.on_text(msgspec.json.encode(request), now_ms=self.now_ms)

    def begin(self, client, answers, resume, snapshot):
        ack, *snapshots = [msgspec.json.decode(answer) for answer in answers]
        assert ack["id"] == 7
        assert ack["ok"]
        awaited = []
        for result in ack["results"]:
            place, seq = client.places[result["ch"]], result["seq"]
            assert result["epoch"] == EPOCH
            if resume == "no":
                assert result["recovered"] is None
                place.begin(seq, {}, client.process.applied)
                place.is_lost = bool(snapshot)
            elif result["recovered"]:
                assert seq == place.seq
            else:
                place.is_lost = True
            self.check_recovery(client, result, place, resume)
            if place.is_lost:
                awaited.append((result["ch"], seq))
        assert [(message["ch"], message["seq"]) for message in snapshots] == awaited
        for message in snapshots:
            assert message["recovered"] is (None if resume == "no" else False)
            self.on_snapshot(client, message)

    def check_recovery(self, client, result, place, resume):
        if resume == "foreign":
            assert result["recovered"] is False
        elif resume != "no":
            published = client.process.published[result["ch"]]
            if published:
                first = published[0].seq - 1
                floor = client.process.floor(result["ch"]) or first
                assert result["recovered"] is (place.seq >= floor)
            else:
                assert result["recovered"] is False

    @rule(which=PROCESSES, channel=st.sampled_from(CHANNELS), back=st.integers(0, 6))
    def resume_by_time(self, which, channel, back):
        process = self.processes[which]
        times = [u.published_ms for u in self.log[: process.applied] if u.channel == channel]
        if len(times) <= back:
            return
        since_ms = times[-1 - back]
        session = process.hub.open(now_ms=self.now_ms)
        wanted = {"ch": channel, "policy": "buffer", "resume": {"since_ms": since_ms}}
        request = {"op": "subscribe", "channels": [wanted]}
        effects = session.on_text(msgspec.json.encode(request), now_ms=self.now_ms)
        result = msgspec.json.decode(effects[0].data)["results"][0]
        if result["recovered"]:
            due = [u for u in self.log if u.channel == channel and u.published_ms >= since_ms]
            assert all(u.seq > result["seq"] for u in due)
            early = [u.seq for u in process.published[channel] if u.published_ms < since_ms]
            assert result["seq"] >= max(early, default=0), "nothing else is sent again"
            assert process.floor(channel) is None or result["seq"] >= process.floor(channel)
            assert len(effects) == 1
        else:
            kept = process.published[channel][-KEPT:]
            assert not kept or since_ms <= max(
                u.published_ms for u in [kept[0], *process.published[channel][:-KEPT]]
            )
            assert msgspec.json.decode(effects[1].data)["recovered"] is False
        process.hub.close(session)

    # -- what they get

    @rule(which=PROCESSES, later_ms=st.sampled_from([0, 1, 100, 249, 250]))
    def flush(self, which, later_ms):
        self.now_ms += later_ms
        self.flush_process(self.processes[which])

    def flush_process(self, process) -> bool:
        flush = process.hub.flush(now_ms=self.now_ms)
        by_session = {c.session: c for c in self.clients if c.session is not None}
        seen: set[int] = set()
        closed = [session for session, close in flush.closes if close == SLOW]
        assert len(closed) == len(flush.closes)
        for frame in flush.frames:
            for session in frame.sessions:
                assert id(session) not in seen, "one frame for each"
                seen.add(id(session))
                assert session.is_writable
                self.on_frame(by_session[session], frame.data, is_last=session in closed)
        for session in closed:
            assert id(session) in seen
            client = by_session[session]
            assert any(
                place.policy == "buffer" and place.seq < (process.floor(name) or 0)
                for name, place in client.places.items()
            )
            self.leave(client)
        return bool(flush.frames)

    def on_frame(self, client, frame, *, is_last):
        messages = [msgspec.json.decode(line) for line in frame.split(b"\n")]
        assert (messages[-1]["type"] == "slow") is is_last
        for message in messages[: -1 if is_last else None]:
            place = client.places[message["ch"]]
            if place.interval_ms:
                assert place.cell < self.now_ms // place.interval_ms
            if message["type"] == "snapshot":
                floor = client.process.floor(message["ch"])
                assert place.policy == "latest"
                assert floor is not None
                assert place.seq < floor
                assert (message["prev"], message["conflated"]) == (None, None)
                assert message["recovered"] is False
                place.is_lost = True
                self.on_snapshot(client, message)
            else:
                self.on_update(place, message)
        for message in messages[: -1 if is_last else None]:
            place = client.places[message["ch"]]
            if place.interval_ms:
                place.cell = self.now_ms // place.interval_ms

    def on_snapshot(self, client, message):
        place = client.places[message["ch"]]
        view = dict(message["data"])
        assert view == client.process.view(message["ch"], place.count)
        assert message["seq"] == client.process.head(message["ch"])
        place.begin(message["seq"], view, client.process.applied)

    def on_update(self, place, message):
        assert not place.is_lost
        assert message["prev"] == place.seq, "the chain is unbroken"
        [update] = [u for u in self.log if (u.channel, u.seq) == (message["ch"], message["seq"])]
        between = [
            u
            for u in self.log[place.began :]
            if u.channel == update.channel and place.seq < u.seq < update.seq
        ]
        assert message["conflated"] == len(between)
        assert place.policy == "latest" or not between
        assert message["data"] == [update.key, update.seq]
        assert (message["type"], message["te"], message["tp"]) == (
            update.type,
            update.event_ms,
            update.published_ms,
        )
        place.seq = update.seq
        place.view[update.key] = update.seq

    @rule()
    def settle(self):
        for client in self.clients:
            if client.session is not None:
                client.session.is_writable = True
        for process in self.processes:
            idle = 0
            for _ in range(60):
                self.now_ms += 250
                idle = 0 if self.flush_process(process) else idle + 1
                if idle == 2:
                    break
            assert idle == 2, "it comes to an end"
            assert not process.hub.directory.waiting
        for client in self.clients:
            if client.session is not None:
                self.check_view(client)

    def check_view(self, client):
        for channel, place in client.places.items():
            head = max(client.process.head(channel), place.seq)
            expected = dict(place.base)
            for update in self.log[place.began :]:
                if update.channel == channel and update.seq <= head:
                    expected[update.key] = update.seq
            assert place.view == expected
            assert place.seq == head

    @invariant()
    def a_history_keeps_what_it_may_and_nobody_has_a_queue(self):
        for process in self.processes:
            for fanout in process.hub.directory.fanouts.values():
                assert len(fanout.history._updates) <= KEPT
            assert all(not session.parts for session in process.hub.sessions)

    def teardown(self):
        self.settle()


TestServing = Serving.TestCase
TestServing.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
