"""What each switch does to the trades, frames and requests that pass it."""

import json
from itertools import islice

import msgspec
import pytest

from chaintide.streams.simulator import kraken
from chaintide.streams.simulator.faults import NAMES, Fault, FaultLogic, schedule
from chaintide.streams.simulator.trades import MARKETS, SimTrade, Tape

BTC, ETH = "BTC-USD", "ETH-USD"
TRADES = Tape(MARKETS[0], seed=1, start_us=0, rate=5.0).step(60_000_000)


def logic(*faults: Fault) -> FaultLogic:
    switchboard = FaultLogic([BTC, ETH])
    for fault in faults:
        switchboard.on_fault(fault, now_us=0)
    return switchboard


def said(switchboard: FaultLogic, trades: list[SimTrade], size: int = 4) -> list[int]:
    """Return the ids that come out when the trades go in, a few at a time."""
    return [
        trade.trade_id
        for first in range(0, len(trades), size)
        for group in switchboard.on_trades(BTC, trades[first : first + size])
        for trade in group
    ]


IDS = [trade.trade_id for trade in TRADES]


def test_without_faults_everything_passes():
    assert said(logic(), TRADES) == IDS


def test_nothing_is_said_when_nothing_happened():
    assert logic().on_trades(BTC, []) == []


def test_skipped_trades_are_left_out_and_kept_for_rest():
    switchboard = logic(Fault(name="skip", count=6))
    assert said(switchboard, TRADES) == IDS[6:]
    assert not any(switchboard.is_refused(BTC, trade_id) for trade_id in IDS)


def test_refused_trades_are_left_out_and_lost():
    switchboard = logic(Fault(name="skip_refused", count=6))
    assert said(switchboard, TRADES) == IDS[6:]
    assert [i for i in IDS if switchboard.is_refused(BTC, i)] == IDS[:6]


def test_a_replay_never_brings_back_what_is_lost():
    switchboard = logic(Fault(name="skip_refused", count=6))
    said(switchboard, TRADES[:20])
    switchboard.on_fault(Fault(name="replay"), now_us=0)
    assert said(switchboard, TRADES[20:24]) == IDS[20:24] + IDS[6:20]


def test_a_replay_comes_even_in_silence_and_once():
    switchboard = logic()
    said(switchboard, TRADES)
    switchboard.on_fault(Fault(name="replay"), now_us=0)
    assert switchboard.on_trades(BTC, []) == [TRADES[-50:]]
    assert switchboard.on_trades(BTC, []) == []


def test_reordered_trades_are_held_then_told_backwards():
    switchboard = logic(Fault(name="reorder", count=6))
    assert said(switchboard, TRADES) == IDS[:8][::-1] + IDS[8:]


def test_duplicates_come_twice():
    assert said(logic(Fault(name="duplicate", count=6)), TRADES) == [
        *IDS[:4],
        *IDS[:4],
        *IDS[4:8],
        *IDS[4:8],
        *IDS[8:],
    ]


def test_faults_compose():
    faults = [
        Fault(name=name, count=3) for name in ("skip", "skip_refused", "reorder", "duplicate")
    ]
    switchboard = logic(*faults)
    assert set(said(switchboard, TRADES)) == set(IDS[6:])


def test_a_fault_of_one_market_leaves_the_others_alone():
    assert said(logic(Fault(name="skip", symbol=ETH)), TRADES) == IDS


def test_malformed_frames_are_broken_one_after_another_and_then_whole():
    switchboard = logic(Fault(name="malformed", count=7))
    frame = kraken.trade_frame(MARKETS[0], TRADES[:2], "update")
    broken = [switchboard.on_frame(BTC, frame) for _ in range(7)]
    assert len({frame, *broken}) == 8
    assert switchboard.on_frame(BTC, frame) == frame
    unreadable = 0
    for text in broken:
        try:
            json.loads(text)
        except ValueError:
            unreadable += 1
    assert unreadable == 1
    assert any('"price":-' in text for text in broken)
    assert any('"price":null' in text for text in broken)


def test_a_drop_concerns_the_connections_there_are():
    switchboard = FaultLogic([BTC])
    assert not switchboard.is_dropped(0)
    switchboard.on_fault(Fault(name="drop"), now_us=10)
    assert switchboard.is_dropped(10)
    assert not switchboard.is_dropped(11)


def test_a_freeze_ends_and_spares_later_connections():
    switchboard = FaultLogic([BTC])
    switchboard.on_fault(Fault(name="freeze", seconds=2), now_us=10)
    assert switchboard.is_frozen(10, now_us=2_000_009)
    assert not switchboard.is_frozen(10, now_us=2_000_010)
    assert not switchboard.is_frozen(11, now_us=12)


def test_rate_limiting_ends():
    switchboard = FaultLogic([BTC])
    switchboard.on_fault(Fault(name="rate_limit", seconds=2), now_us=0)
    assert switchboard.is_limited(now_us=1_999_999)
    assert not switchboard.is_limited(now_us=2_000_000)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(name="skip", symbol="NO-USD"),
        Fault(name="skip", count=0),
        Fault(name="skip", count=1_001),
        Fault(name="freeze", seconds=0),
        Fault(name="freeze", seconds=float("nan")),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused(fault: Fault):
    with pytest.raises(ValueError, match=r"unknown symbol|must be in"):
        logic(fault)


def test_unknown_parameters_are_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "skip", "trades": 3}, Fault)


def test_a_schedule_repeats_from_its_seed_and_only_does_what_can_be_repaired():
    first, again, other = (
        list(islice(schedule(seed, start_us=5, every_s=10), 400)) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert {fault.name for _, fault in first} == set(NAMES) - {"skip_refused"}
    times = [time_us for time_us, _ in first]
    assert times == sorted(times)
    assert 8e6 < times[-1] / 400 < 12e6
    for time_us, fault in first:
        logic().on_fault(fault, now_us=time_us)
