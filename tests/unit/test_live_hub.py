from typing import Any

import msgspec
import pytest

from chaintide.api.live import effects
from chaintide.api.live.directory import Directory
from chaintide.api.live.hub import Hub
from chaintide.api.live.limits import Limits
from chaintide.api.live.session import Session
from chaintide.api.live.update import Snapshot, Update

CANDLES = "candles:kraken:BTC-USD:1m"
TICKER = "ticker:kraken:BTC-USD"
LIMITS = Limits(history_updates=4, part_bytes=400, heavy_bytes=300)


class Market:
    """A state that is at ``seq``, or gone."""

    def __init__(self) -> None:
        self.seq: int | None = 0
        self.counts: list[int] = []

    def snapshot(self, channel: str, count: int) -> Snapshot | None:
        assert channel in {CANDLES, TICKER}
        self.counts.append(count)
        return None if self.seq is None else Snapshot(self.seq, [b"1"] * min(count, 2))


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def hub(market: Market) -> Hub:
    return Hub(Directory("k3f9", market, LIMITS), jitter=lambda: 0.5)


def joined(hub: Hub, *channels: str, **fields: object) -> Session:
    session = hub.open(now_ms=0)
    wanted = [{"ch": channel, **fields} for channel in channels]
    request = msgspec.json.encode({"op": "subscribe", "channels": wanted})
    [answer, *_] = session.on_text(request, now_ms=0)
    assert isinstance(answer, effects.Send)
    assert msgspec.json.decode(answer.data)["ok"]
    return session


def update(seq: int, channel: str = TICKER, key: int = 0, data: bytes = b"{}") -> Update:
    return Update(
        channel=channel,
        seq=seq,
        key=key,
        type="update",
        event_ms=1,
        published_ms=2,
        data=data,
    )


def messages(frame: bytes) -> list[Any]:
    return [msgspec.json.decode(line) for line in frame.split(b"\n")]


def received(hub: Hub, session: Session, now_ms: int = 0) -> list[Any]:
    frames = [frame for frame in hub.flush(now_ms=now_ms).frames if session in frame.sessions]
    return messages(frames[0].data) if frames else []


def seqs(hub: Hub, session: Session, now_ms: int = 0) -> list[int]:
    return [message["seq"] for message in received(hub, session, now_ms)]


def test_what_is_published_of_several_channels_comes_in_one_frame(hub: Hub):
    session = joined(hub, CANDLES, TICKER)
    hub.publish([update(1), update(2, CANDLES), update(3)])
    [frame] = hub.flush(now_ms=0).frames
    assert frame.sessions == [session]
    lines = [(message["ch"], message["seq"], message["prev"]) for message in messages(frame.data)]
    assert lines == [(CANDLES, 2, 0), (TICKER, 3, 0)]
    assert hub.flush(now_ms=0).frames == []


def test_those_who_get_the_same_share_one_frame(hub: Hub):
    both = [joined(hub, CANDLES, TICKER) for _ in range(3)]
    alone = [joined(hub, TICKER) for _ in range(2)]
    hub.flush(now_ms=0)
    hub.publish([update(1), update(2, CANDLES)])
    frames = hub.flush(now_ms=0).frames
    assert sorted(len(frame.sessions) for frame in frames) == [2, 3]
    assert {frozenset(map(id, frame.sessions)) for frame in frames} == {
        frozenset(map(id, both)),
        frozenset(map(id, alone)),
    }


def test_policies_do_not_share(hub: Hub):
    latest, buffer = joined(hub, TICKER), joined(hub, TICKER, policy="buffer")
    hub.publish([update(1), update(2)])
    frames = {id(frame.sessions[0]): frame for frame in hub.flush(now_ms=0).frames}
    assert [message["seq"] for message in messages(frames[id(latest)].data)] == [2]
    assert [message["seq"] for message in messages(frames[id(buffer)].data)] == [1, 2]


def test_a_client_that_did_not_read_catches_up_when_nothing_new_comes(hub: Hub):
    session = joined(hub, TICKER)
    session.is_writable = False
    for seq in (1, 2, 3):
        hub.publish([update(seq)])
        assert received(hub, session) == []
    session.is_writable = True
    [message] = received(hub, session)
    assert (message["seq"], message["prev"], message["conflated"]) == (3, 0, 2)
    assert hub.directory.waiting == {}


def test_latest_below_the_floor_gets_a_snapshot_as_large_as_it_once_asked_for(
    hub: Hub, market: Market
):
    session = joined(hub, TICKER, snapshot=7)
    hub.publish(update(seq) for seq in range(1, 6))
    market.seq, market.counts = 5, []
    [message] = received(hub, session)
    assert message == {
        "ch": TICKER,
        "type": "snapshot",
        "seq": 5,
        "prev": None,
        "conflated": None,
        "recovered": False,
        "data": [1, 1],
    }
    assert market.counts == [7]
    hub.publish([update(6)])
    assert received(hub, session)[0]["prev"] == 5


def test_those_below_the_floor_share_a_snapshot_if_they_want_as_much(hub: Hub, market: Market):
    for count in (1, 1, 2):
        joined(hub, TICKER, snapshot=count)
    hub.publish(update(seq) for seq in range(1, 6))
    market.seq, market.counts = 5, []
    assert sorted(len(frame.sessions) for frame in hub.flush(now_ms=0).frames) == [1, 2]
    assert market.counts == [1, 2]


def test_a_channel_that_is_gone_is_asked_for_again(hub: Hub, market: Market):
    session = joined(hub, TICKER)
    hub.publish(update(seq) for seq in range(1, 6))
    market.seq = None
    assert received(hub, session) == []
    market.seq = 5
    assert seqs(hub, session) == [5]


def test_buffer_below_the_floor_is_told_so_and_closed_once(hub: Hub):
    session = joined(hub, CANDLES, TICKER, policy="buffer")
    healthy = joined(hub, TICKER)
    hub.publish(update(seq, channel) for seq in range(1, 6) for channel in (CANDLES, TICKER))
    flush = hub.flush(now_ms=0)
    assert flush.closes == [(session, effects.SLOW)]
    [frame] = [frame for frame in flush.frames if session in frame.sessions]
    assert frame.data == b'{"type":"slow"}'
    assert session.is_closed
    hub.publish([update(6)])
    assert received(hub, healthy)
    assert hub.flush(now_ms=0) == hub.flush(now_ms=0)


def test_buffer_at_the_floor_still_gets_all(hub: Hub):
    session = joined(hub, TICKER, policy="buffer")
    hub.publish([update(1)])
    hub.flush(now_ms=0)
    hub.publish(update(seq) for seq in range(2, 6))
    assert seqs(hub, session) == [2, 3, 4, 5]


def test_a_rate_serves_once_in_each_cell_of_time(hub: Hub):
    session = joined(hub, TICKER, max_hz=4)
    got = []
    for now_ms in (1_010, 1_240, 1_249, 1_250, 1_251, 1_500):
        hub.publish([update(now_ms)])
        got.append(seqs(hub, session, now_ms))
    assert got == [[1_010], [], [], [1_250], [], [1_500]]


def test_a_flush_says_when_the_next_is_due(hub: Hub):
    session, other = joined(hub, TICKER, max_hz=4), joined(hub, TICKER, max_hz=2)
    assert hub.flush(now_ms=1_000).due_ms is None
    hub.publish([update(1)])
    assert hub.flush(now_ms=1_010).due_ms is None
    hub.publish([update(2)])
    assert hub.flush(now_ms=1_020).due_ms == 1_250
    session.is_writable = False
    assert hub.flush(now_ms=1_030).due_ms == 1_500
    other.is_writable = False
    assert hub.flush(now_ms=1_500).due_ms is None
    other.on_writable()
    assert hub.flush(now_ms=1_500).frames


def test_those_with_one_rate_share_what_they_get(hub: Hub):
    sessions = [joined(hub, TICKER, max_hz=4) for _ in range(3)]
    hub.publish([update(1)])
    [frame] = hub.flush(now_ms=100).frames
    assert frame.sessions == sessions
    hub.publish([update(2)])
    assert hub.flush(now_ms=200).frames == []
    [frame] = hub.flush(now_ms=250).frames
    assert frame.sessions == sessions


def test_what_has_expired_by_the_time_it_is_sent_says_so(hub: Hub):
    prompt, slow = joined(hub, TICKER), joined(hub, TICKER)
    slow.is_writable = False
    said = update(1, data=b'{"p":0.1,"status":"issued"}')
    hub.publish([msgspec.structs.replace(said, expires_ms=1_000)])
    assert [one["data"] for one in received(hub, prompt, 999)] == [{"p": 0.1, "status": "issued"}]
    slow.is_writable = True
    assert [one["data"] for one in received(hub, slow, 1_000)] == [{"p": 0.1, "status": "expired"}]


def test_much_to_send_goes_out_in_turns(hub: Hub):
    session = joined(hub, CANDLES, TICKER, policy="buffer")
    session.is_writable = False
    large = b'"' + b"x" * 350 + b'"'
    hub.publish(update(seq, CANDLES, data=large) for seq in (1, 2, 3))
    hub.publish([update(4)])
    hub.flush(now_ms=0)
    session.is_writable = True
    assert [seqs(hub, session) for _ in range(4)] == [[1], [4, 2], [3], []]
    assert hub.directory.waiting == {}


def test_publishing_says_when_to_flush_at_once(hub: Hub):
    assert hub.publish(update(seq) for seq in range(1, 5)) is False, "nobody listens"
    hub = Hub(hub.directory, jitter=lambda: 0.5)
    joined(hub, CANDLES)
    assert hub.publish([update(5, CANDLES)]) is False
    assert hub.publish([update(6, CANDLES)]) is True
    hub.flush(now_ms=0)
    assert hub.publish([update(7, CANDLES)]) is False


def test_beyond_a_total_the_channels_left_longest_are_forgotten(market: Market):
    limits = Limits(total_bytes=100)
    hub = Hub(Directory("k3f9", market, limits), jitter=lambda: 0.5)
    names = [f"ticker:kraken:{letter}-USD" for letter in "ABC"]
    fanouts = [hub.directory.fanout(name, floor=0) for name in names]
    joined(hub, CANDLES)
    hub.publish(update(seq, name, data=b"1" * 30) for seq, name in enumerate([CANDLES, *names], 1))
    assert [len(fanout.history._updates) for fanout in fanouts] == [0, 1, 1]
    assert not fanouts[0].history.has_since(1)
    assert fanouts[0].history.has_since(2)
    hub.publish([update(9, CANDLES, data=b"1" * 90)])
    assert [fanout.history.data_bytes for fanout in fanouts] == [0, 0, 0]
    held = hub.directory.fanouts[CANDLES].history.data_bytes
    assert held == hub.directory.held_bytes == 120, "somebody is subscribed to it"
    hub.publish([update(10, names[1])])
    assert hub.directory.held_bytes == 120


def test_a_channel_that_was_just_left_is_forgotten_last(market: Market):
    hub = Hub(Directory("k3f9", market, Limits(total_bytes=50)), jitter=lambda: 0.5)
    session = joined(hub, TICKER)
    hub.publish([update(1, data=b"1" * 20), update(2, CANDLES, data=b"1" * 20)])
    hub.close(session)
    hub.publish([update(3, "status", data=b"1" * 20)])
    held = {name: fanout.history.data_bytes for name, fanout in hub.directory.fanouts.items()}
    assert held == {TICKER: 20, CANDLES: 0, "status": 20}


def test_a_repeat_is_not_sent(hub: Hub):
    session = joined(hub, TICKER)
    hub.publish([update(5)])
    assert seqs(hub, session) == [5]
    hub.publish([update(5), update(4)])
    assert seqs(hub, session) == []


def test_closing_is_safe_to_repeat(hub: Hub):
    session = joined(hub, TICKER)
    hub.close(session)
    hub.close(session)
    hub.publish([update(1)])
    assert hub.flush(now_ms=0).frames == []
    assert hub.sessions == {}
    assert not hub.directory.fanouts[TICKER].subscriptions


def test_everybody_is_told_to_go_away(hub: Hub):
    slow, ended, session = (joined(hub, TICKER) for _ in range(3))
    slow.is_writable = False
    ended.end()
    assert hub.is_draining is False
    frame = hub.goaway("shutdown")
    assert frame.sessions == [slow, session]
    assert messages(frame.data) == [
        {"type": "goaway", "reason": "shutdown", "retry_after_ms": [500, 8_000]}
    ]
    assert hub.is_draining is True
    hub.publish([update(1)])
    assert seqs(hub, session) == [1]


def test_codes_say_whether_to_come_back():
    may = {close.code for close in effects.CLOSES if close.may_reconnect}
    assert may == {1013, 3001, 3008, 3012, 3013}
    assert len({close.code for close in effects.CLOSES}) == len(effects.CLOSES)
    assert effects.__doc__ is not None
    for close in effects.CLOSES:
        answer = "yes" if close.may_reconnect else "no"
        assert f"\n{close.code}   {answer} " in effects.__doc__
