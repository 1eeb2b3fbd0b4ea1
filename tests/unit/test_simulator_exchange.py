"""The exchange as a whole: its schedule of faults and its bounds."""

import pytest

from chaintide.streams.errors import ConfigError
from chaintide.streams.simulator import exchange, faults
from chaintide.streams.simulator.exchange import ExchangeLogic, Settings
from chaintide.streams.simulator.faults import Fault
from chaintide.streams.simulator.trades import MARKETS

NOW_US = 1_763_000_000_000_000
MINUTE_US = 60_000_000


def truth(venue: ExchangeLogic) -> list[int]:
    return [int(line.split(",")[1]) for line in venue.csv("BTC-USD").splitlines()[1:]]


@pytest.mark.parametrize("rate", [0, -1, 1_000, float("nan")])
def test_a_rate_that_makes_no_sense_is_refused(rate: float):
    with pytest.raises(ConfigError, match="rate"):
        Settings(rate=rate)


def test_a_schedule_that_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="faults"):
        Settings(faults_every_s=-1)


def test_scheduled_faults_happen():
    settings = Settings(markets=MARKETS[:1], faults_every_s=5)
    venue = ExchangeLogic(settings, now_us=NOW_US)
    clean = ExchangeLogic(Settings(markets=MARKETS[:1]), now_us=NOW_US)
    minutes = range(NOW_US, NOW_US + 10 * MINUTE_US, 1_000_000)
    assert [venue.step(now_us) for now_us in minutes] != [clean.step(now_us) for now_us in minutes]
    assert truth(venue) == truth(clean)
    assert venue.faults.is_dropped(NOW_US)


def test_only_the_last_trades_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "KEPT", 500)
    monkeypatch.setattr(exchange, "_TRIM", 50)
    venue = ExchangeLogic(Settings(markets=MARKETS[:1]), now_us=NOW_US)
    for minute in range(1, 20):
        venue.step(NOW_US + minute * MINUTE_US)
    kept = truth(venue)
    assert 500 <= len(kept) <= 550
    assert kept == list(range(kept[0], kept[-1] + 1))


def test_lost_trades_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faults, "_MAX_REFUSED", 5)
    venue = ExchangeLogic(Settings(markets=MARKETS[:1]), now_us=NOW_US)
    venue.faults.on_fault(Fault(name="skip_refused", count=9), now_us=NOW_US)
    venue.step(NOW_US + MINUTE_US)
    assert sum(venue.faults.is_refused("BTC-USD", trade_id) for trade_id in truth(venue)) == 5
