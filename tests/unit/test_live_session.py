from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chaintide.api.live import effects
from chaintide.api.live.directory import Directory
from chaintide.api.live.effects import Close, Effect, Load, Ping, Send
from chaintide.api.live.hub import Hub
from chaintide.api.live.limits import Limits
from chaintide.api.live.session import Session
from chaintide.api.live.update import Snapshot, Update

CANDLES = "candles:kraken:BTC-USD:1m"
TICKER = "ticker:kraken:BTC-USD"
NOW_MS = 1_763_740_800_000


class Market:
    """Snapshots of ten candles at seq 5000, and of nothing else but a ticker."""

    def __init__(self) -> None:
        self.is_short, self.seq = False, 5_000
        self.counts: list[int] = []

    def snapshot(self, channel: str, count: int) -> Snapshot | None:
        if channel not in {CANDLES, TICKER} and not channel.startswith("trades:"):
            return None
        self.counts.append(count)
        entries = [str(place).encode() for place in range(10)][10 - min(count, 10) :]
        return Snapshot(self.seq, entries, is_short=self.is_short and count > 10)


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def hub(market: Market) -> Hub:
    return Hub(Directory("k3f9", market, Limits(burst=1_000)), jitter=lambda: 0.5)


@pytest.fixture
def session(hub: Hub) -> Session:
    return hub.open(now_ms=NOW_MS)


def ask(session: Session, **request: object) -> list[Effect]:
    return session.on_text(msgspec.json.encode(request), now_ms=NOW_MS)


def said(outcome: list[Effect]) -> Iterator[Any]:
    for effect in outcome:
        assert isinstance(effect, Send)
        yield msgspec.json.decode(effect.data)


def answer(session: Session, **request: object) -> Any:
    [message] = said(ask(session, **request))
    return message


def subscribe(session: Session, *channels: str, **fields: object) -> list[Effect]:
    wanted = [{"ch": channel, **fields} for channel in channels]
    return ask(session, id=2, op="subscribe", channels=wanted)


def error(session: Session, **request: object) -> tuple[int, str]:
    message = answer(session, **request)
    assert message["ok"] is False
    assert message["id"] == request.get("id")
    assert message["error"]["temporary"] is False
    return message["error"]["code"], message["error"]["message"]


def update(seq: int, channel: str = TICKER) -> Update:
    return Update(
        channel=channel,
        seq=seq,
        key="ticker",
        type="update",
        event_ms=1,
        published_ms=2,
        data=b"{}",
    )


def test_a_subscription_is_answered_then_comes_its_snapshot(session: Session):
    ack, snapshot = said(subscribe(session, CANDLES, snapshot=2))
    result = {"ch": CANDLES, "epoch": "k3f9", "seq": 5_000, "recovered": None}
    assert ack == {"id": 2, "ok": True, "results": [result]}
    assert snapshot == {
        "ch": CANDLES,
        "type": "snapshot",
        "seq": 5_000,
        "prev": None,
        "conflated": None,
        "recovered": None,
        "data": [8, 9],
    }


def test_without_a_snapshot_updates_follow_from_now_on(hub: Hub, session: Session):
    [ack] = said(subscribe(session, TICKER))
    assert ack["results"][0]["seq"] == 5_000
    hub.publish([update(5_000), update(6_000)])
    [frame] = hub.flush(now_ms=NOW_MS).frames
    assert msgspec.json.decode(frame.data)["prev"] == 5_000


def test_a_foreign_epoch_is_not_recovered_and_gets_a_snapshot_of_the_usual_size(
    session: Session, market: Market
):
    resume = {"epoch": "other", "seq": 9_000}
    ack, snapshot = said(subscribe(session, CANDLES, resume=resume))
    assert (ack["results"][0]["recovered"], snapshot["recovered"]) == (False, False)
    assert market.counts == [0, 100]


def test_a_position_that_is_ours_is_recovered_without_a_snapshot(session: Session):
    resume = {"epoch": "k3f9", "seq": 5_000}
    [ack] = said(subscribe(session, CANDLES, resume=resume, snapshot=5))
    assert ack["results"][0] == {"ch": CANDLES, "epoch": "k3f9", "seq": 5_000, "recovered": True}


def test_a_position_ahead_moves_nobody_else(hub: Hub, session: Session):
    other = hub.open(now_ms=NOW_MS)
    [ack] = said(subscribe(session, TICKER, resume={"epoch": "k3f9", "seq": 2**53}))
    assert ack["results"][0]["recovered"] is True
    subscribe(other, TICKER)
    hub.publish([update(6_000)])
    [frame] = hub.flush(now_ms=NOW_MS).frames
    assert frame.sessions == [other]
    assert msgspec.json.decode(frame.data)["type"] == "update"


def test_nobody_resumes_in_a_channel_whose_past_is_unknown(
    hub: Hub, session: Session, market: Market
):
    market.seq = 0
    resume = {"epoch": "k3f9", "seq": 5_000}
    ack, snapshot = said(subscribe(session, TICKER, resume=resume))
    assert (ack["results"][0]["recovered"], ack["results"][0]["seq"]) == (False, 0)
    assert snapshot["recovered"] is False
    again = hub.open(now_ms=NOW_MS)
    ack, _ = said(subscribe(again, TICKER, resume=resume))
    assert ack["results"][0]["recovered"] is False
    hub.publish([update(6_000)])
    market.seq = 6_000
    [frame] = hub.flush(now_ms=NOW_MS).frames
    assert msgspec.json.decode(frame.data)["prev"] == 0
    for seq, recovered in ((5_998, False), (5_999, True)):
        late = hub.open(now_ms=NOW_MS)
        ack, *_ = said(subscribe(late, TICKER, resume={"epoch": "k3f9", "seq": seq}))
        assert ack["results"][0]["recovered"] is recovered


def test_a_time_is_recovered_if_all_since_then_is_kept(hub: Hub, session: Session):
    hub.publish([update(6_000), update(7_000)])
    [ack] = said(subscribe(session, TICKER, resume={"since_ms": 3}))
    assert (ack["results"][0]["recovered"], ack["results"][0]["seq"]) == (True, 7_000)
    other = hub.open(now_ms=NOW_MS)
    ack, _ = said(subscribe(other, TICKER, resume={"since_ms": 2}))
    assert ack["results"][0]["recovered"] is False


def test_candles_that_are_short_are_loaded_before_the_answer(session: Session, market: Market):
    market.is_short = True
    outcome = subscribe(session, CANDLES, TICKER, snapshot=20)
    assert outcome == [Load(CANDLES, 20), Load(TICKER, 20)]
    assert session.on_loaded(CANDLES, now_ms=NOW_MS) == []
    assert list(session.subscriptions) == []
    ack, *snapshots = said(session.on_loaded(TICKER, now_ms=NOW_MS))
    assert [result["ch"] for result in ack["results"]] == [CANDLES, TICKER]
    assert [len(snapshot["data"]) for snapshot in snapshots] == [10, 10]
    assert session.on_loaded(TICKER, now_ms=NOW_MS) == []


def test_a_channel_that_is_being_loaded_is_taken(session: Session, market: Market):
    market.is_short = True
    subscribe(session, CANDLES, snapshot=20)
    [refused] = said(subscribe(session, CANDLES))
    assert refused["error"]["code"] == 105


def test_a_channel_can_be_left_while_it_is_being_loaded(session: Session, market: Market):
    market.is_short = True
    subscribe(session, CANDLES, TICKER, snapshot=20)
    [left] = said(ask(session, id=3, op="unsubscribe", channels=[CANDLES]))
    assert left["results"] == [{"ch": CANDLES, "epoch": "k3f9", "seq": 0}]
    assert subscribe(session, CANDLES, snapshot=20) == [Load(CANDLES, 20)]
    ack, _ = said(session.on_loaded(TICKER, now_ms=NOW_MS))
    assert [result["ch"] for result in ack["results"]] == [TICKER]
    ack, _ = said(session.on_loaded(CANDLES, now_ms=NOW_MS))
    assert [result["ch"] for result in ack["results"]] == [CANDLES]


def test_a_request_is_answered_when_what_it_waits_for_is_left(session: Session, market: Market):
    market.is_short = True
    subscribe(session, CANDLES, snapshot=20)
    subscribe(session, TICKER)
    begun, left = said(ask(session, id=3, op="unsubscribe", channels=[TICKER, CANDLES]))
    assert (begun["id"], begun["results"]) == (2, [])
    assert [result["ch"] for result in left["results"]] == [TICKER, CANDLES]
    assert session.on_loaded(CANDLES, now_ms=NOW_MS) == []
    assert session.subscriptions == {}


def test_what_was_loaded_for_a_session_that_ended_is_dropped(
    hub: Hub, session: Session, market: Market
):
    market.is_short = True
    subscribe(session, CANDLES, snapshot=20)
    hub.close(session)
    assert session.on_loaded(CANDLES, now_ms=NOW_MS) == []


def test_what_is_subscribed_to_is_listed(session: Session):
    subscribe(session, CANDLES, policy="buffer", max_hz=4)
    subscribe(session, TICKER)
    common = {"epoch": "k3f9", "seq": 5_000}
    assert answer(session, id=4, op="list") == {
        "id": 4,
        "ok": True,
        "results": [
            {"ch": CANDLES, **common, "policy": "buffer", "max_hz": 4.0},
            {"ch": TICKER, **common, "policy": "latest", "max_hz": None},
        ],
    }


def test_who_leaves_gets_no_more_and_the_position_to_resume_from(hub: Hub, session: Session):
    subscribe(session, TICKER)
    hub.publish([update(6_000)])
    left = answer(session, id=3, op="unsubscribe", channels=[TICKER])
    result = {"ch": TICKER, "epoch": "k3f9", "seq": 5_000}
    assert left == {"id": 3, "ok": True, "results": [result]}
    assert hub.flush(now_ms=NOW_MS).frames == []
    resume = {"epoch": "k3f9", "seq": 5_000}
    [ack] = said(subscribe(session, TICKER, resume=resume))
    assert ack["results"][0]["recovered"] is True
    assert len(hub.flush(now_ms=NOW_MS).frames) == 1


def test_a_refused_request_changes_nothing(session: Session):
    subscribe(session, TICKER)
    taken = [{"ch": CANDLES}, {"ch": TICKER}]
    assert error(session, id=1, op="subscribe", channels=taken)[0] == 105
    twice = [{"ch": CANDLES}, {"ch": CANDLES}]
    assert error(session, id=1, op="subscribe", channels=twice)[0] == 105
    unknown = [{"ch": CANDLES}, {"ch": "trades"}]
    assert error(session, id=1, op="subscribe", channels=unknown)[0] == 102
    assert error(session, id=1, op="subscribe", channels=[{"ch": "status"}])[0] == 102
    assert error(session, id=1, op="unsubscribe", channels=[TICKER, CANDLES])[0] == 113
    assert error(session, id=1, op="unsubscribe", channels=[TICKER, TICKER])[0] == 113
    assert error(session, id=1, op="nix")[0] == 104
    assert error(session, id="x", op="subscribe", channels=[{"ch": CANDLES, "nix": 1}]) == (
        107,
        "Object contains unknown field `nix` - at `$.channels[0]`",
    )
    assert list(session.subscriptions) == [TICKER]


def test_a_refusal_says_what_may_have_been_meant(session: Session):
    session.directory.advise = lambda subject: f"{subject} is `1:0xa`" if "RUST" in subject else ""
    wanted = [{"ch": "ticker:local:RUST-USDC"}]
    assert error(session, id=1, op="subscribe", channels=wanted) == (
        102,
        "no channel `ticker:local:RUST-USDC`: local:RUST-USDC is `1:0xa`",
    )
    _, other = error(session, id=1, op="subscribe", channels=[{"ch": "ticker:x:Y"}])
    assert other.startswith("no channel `ticker:x:Y`; there are trades:<market>, ")


def test_channels_in_which_nothing_ever_was_are_forgotten_when_left(hub: Hub, session: Session):
    names = [f"trades:kraken:X{number}" for number in range(3)]
    subscribe(session, *names)
    hub.publish([update(6_000, names[0])])
    hub.close(session)
    assert list(hub.directory.fanouts) == names[:1]


def test_nobody_can_log_in_yet(session: Session):
    assert error(session, id=1, op="auth", token="x")[0] == 108


def test_a_ping_is_answered_with_the_time(session: Session):
    assert answer(session, id=5, op="ping") == {"id": 5, "ok": True, "t": NOW_MS}


def test_128_channels_are_the_most(session: Session, market: Market):
    trades = [f"trades:kraken:X{number}" for number in range(128)]
    market.is_short = True
    assert len(subscribe(session, trades[0], snapshot=20)) == 1
    assert len(subscribe(session, *trades[1:])) == 1
    [refused] = said(subscribe(session, TICKER))
    assert refused["error"]["code"] == 106
    assert len(session.subscriptions) == 127


def test_10_000_entries_are_the_most_in_one_request(session: Session):
    trades = [f"trades:kraken:X{number}" for number in range(11)]
    [refused] = said(subscribe(session, *trades, snapshot=1_000))
    assert refused["error"]["code"] == 106
    assert len(subscribe(session, *trades[:10], snapshot=1_000)) == 11


@pytest.mark.parametrize(
    ("text", "close"),
    [
        (b"{", effects.BAD_REQUEST),
        (b"\xff", effects.NOT_UTF8),
        ("\ud800", effects.NOT_UTF8),
        (b'{"op":"ping"}' + b" " * 65_536, effects.TOO_BIG),
        ("é" * 32_769, effects.TOO_BIG),
    ],
    ids=["json", "utf8", "surrogate", "bytes", "text"],
)
def test_a_frame_nobody_could_answer_ends_the_session(
    hub: Hub, session: Session, text: str | bytes, close: Close
):
    subscribe(session, TICKER)
    assert session.on_text(text, now_ms=NOW_MS) == [close]
    assert session.is_closed
    assert ask(session, op="ping") == []
    hub.publish([update(6_000)])
    assert hub.flush(now_ms=NOW_MS).frames == []


def test_64_kib_are_still_read(session: Session):
    text = '{"op":"ping"}'.ljust(65_536)
    assert isinstance(session.on_text(text, now_ms=NOW_MS)[0], Send)


def test_a_binary_frame_ends_the_session_once(session: Session):
    assert session.on_binary() == [effects.BINARY]
    assert session.on_binary() == []


def test_more_than_five_messages_a_second_after_twenty_end_the_session(market: Market):
    session = Hub(Directory("k3f9", market), jitter=lambda: 0.5).open(now_ms=NOW_MS)
    ping = '{"op":"ping"}'
    assert all(isinstance(session.on_text(ping, now_ms=0)[0], Send) for _ in range(20))
    assert isinstance(session.on_text(ping, now_ms=200)[0], Send)
    assert session.on_text(ping, now_ms=399) == [effects.TOO_FAST]


def test_who_asks_without_reading_is_ended_at_a_bound(market: Market):
    limits = Limits(burst=1_000, unread_bytes=90)
    session = Hub(Directory("k3f9", market, limits), jitter=lambda: 0.5).open(now_ms=NOW_MS)
    session.is_writable = False
    assert len(b'{"id":null,"t":1763740800000,"ok":true}') * 2 < 90
    assert [len(list(said(ask(session, op="ping")))) for _ in range(2)] == [1, 1]
    session.on_writable()
    session.is_writable = False
    assert [len(list(said(ask(session, op="ping")))) for _ in range(2)] == [1, 1]
    session.on_backlog(45)  # it has read half of it
    assert len(list(said(ask(session, op="ping")))) == 1
    assert ask(session, op="ping") == [Send(b'{"type":"slow"}'), effects.SLOW]
    assert session.is_closed


def ticks(hub: Hub, *times_ms: int) -> list[list[Effect]]:
    return [
        [effect for _, effect in hub.tick(now_ms=NOW_MS + ms, loop_lag_ms=0)] for ms in times_ms
    ]


def test_a_ping_goes_out_and_without_a_sign_the_session_ends(hub: Hub, session: Session):
    session.is_writable = False
    assert ticks(hub, 26_999, 27_000, 31_999, 32_000) == [[], [Ping()], [], [effects.NO_PONG]]
    assert session.is_closed
    assert ticks(hub, 60_000) == [[]]


@pytest.mark.parametrize("sign", ["pong", "text"])
def test_anything_that_comes_is_a_sign_of_life(hub: Hub, session: Session, sign: str):
    session.is_writable = False
    ticks(hub, 27_000)
    if sign == "pong":
        session.on_sign()
    else:
        ask(session, op="ping")
    assert ticks(hub, 32_000, 53_999, 54_000) == [[], [], [Ping()]]


def test_our_own_stall_ends_nobody(hub: Hub, session: Session):
    session.is_writable = False
    ticks(hub, 27_000)
    stalled = hub.tick(now_ms=NOW_MS + 47_000, loop_lag_ms=19_000)
    assert stalled == []
    assert ticks(hub, 50_999, 51_000) == [[], [effects.NO_PONG]]


def test_who_connects_after_a_stall_is_pinged_in_time(hub: Hub):
    hub.tick(now_ms=NOW_MS, loop_lag_ms=19_000)
    session = hub.open(now_ms=NOW_MS)
    session.is_writable = False
    assert ticks(hub, 26_999, 27_000) == [[], [Ping()]]


def test_fifteen_seconds_of_silence_are_broken_for_those_who_read(hub: Hub):
    hub.open(now_ms=NOW_MS)
    heartbeat = Send(b'{"t":%d,"type":"hb"}' % (NOW_MS + 15_000))
    assert ticks(hub, 14_999, 15_000, 15_001) == [[], [heartbeat], []]


def test_an_update_is_no_silence(hub: Hub, session: Session):
    subscribe(session, TICKER)
    hub.publish([update(6_000)])
    hub.flush(now_ms=NOW_MS + 10_000)
    assert ticks(hub, 15_000, 24_999) == [[], []]
    session.is_writable = False
    assert ticks(hub, 25_000) == [[]]
    session.is_writable = True
    assert ticks(hub, 25_001) == [[Send(b'{"t":%d,"type":"hb"}' % (NOW_MS + 25_001))]]


def test_times_that_are_sent_are_those_of_the_wall_clock(hub):
    session = hub.open(now_ms=NOW_MS)
    hub.directory.wall_lead_ms = -3_600_000
    [pong] = session.on_text('{"op":"ping"}', now_ms=NOW_MS)
    assert msgspec.json.decode(pong.data)["t"] == NOW_MS - 3_600_000
    [[heartbeat]] = ticks(hub, 15_000)
    assert msgspec.json.decode(heartbeat.data)["t"] == NOW_MS + 15_000 - 3_600_000
