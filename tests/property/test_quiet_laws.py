"""Laws of sparse markets: what was skipped leaves no candle with a wrong price, or with none."""

from bisect import bisect_left
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from property.recompute import PlainTrade
from property.test_candle_laws import BTC, MINUTE, MONDAY, Simulation, batch_of, keep, new_logic

from chaintide.agents.book import Rules
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.intervals import INTERVALS
from chaintide.streams.records import Candle, Heartbeat

DAY = 86_400_000_000
MONTH = Rules(grace_us=2_000_000, horizon_us=30 * DAY)
# Days apart, so that more than 10,080 quiet minutes lie between most of them.
SPARSE = st.builds(
    lambda day, off: MONDAY + day * DAY + off,
    st.sampled_from([0, 8, 9, 16, 24, 32, 40, 48]),
    st.sampled_from([-MINUTE, -1, 0, 1, MINUTE, 3 * MINUTE]),
)
EVENTS = st.lists(st.tuples(st.sampled_from(["trade", "trade", "beat"]), SPARSE), max_size=8)
FEWER = settings(max_examples=20)  # each fills thousands of windows


def wrong_prices(store: dict[tuple[str, int], Candle], trades: list[PlainTrade]) -> list[Candle]:
    """Return quiet candles that do not show the last price before them."""
    ordered = sorted(trades, key=lambda trade: (trade.time_us, trade.id))
    times = [trade.time_us for trade in ordered]
    wrong = []
    for candle in store.values():
        at = bisect_left(times, candle.open_time_ms * 1000)
        price = str(ordered[at - 1].price) if at else ""
        shown = {candle.open, candle.high, candle.low, candle.close}
        if not candle.trades and (price == "" or shown != {price}):
            wrong.append(candle)
    return wrong


@given(EVENTS)
@FEWER
def test_a_quiet_candle_shows_the_last_price_before_it_however_long_ago(
    events: list[tuple[str, int]],
):
    logic, store, trades = new_logic(MONTH), {}, []
    for number, (kind, time_us) in enumerate(events, 1):
        if kind == "beat":
            logic.on_heartbeat(time_us)
        else:
            trade = PlainTrade(number, time_us, Decimal(100 + number), Decimal(1), "b")
            if logic.on_trades(batch_of([trade])) == []:
                trades.append(trade)
        keep(store, logic.drain()[0])
    assert wrong_prices(store, trades) == []


@given(EVENTS, st.data())
@FEWER
def test_a_crash_among_skipped_candles_changes_nothing(events, data):
    values = []
    for number, (kind, time_us) in enumerate(events, 1):
        trade = PlainTrade(number, time_us, Decimal(100 + number), Decimal(1), "b")
        beat = Heartbeat(venue="kraken", time_us=time_us)
        values.append(codec.encode(beat if kind == "beat" else batch_of([trade])))
    inputs = [Input(0, offset, 2**42, b"", value) for offset, value in enumerate(values)]
    clean, faulty = Simulation(inputs, MONTH), Simulation(inputs, MONTH)
    for _ in inputs:
        clean.step()
        faulty.step()
        if data.draw(st.booleans()):
            faulty.flush()
            faulty.crash(0)
    clean.flush()
    faulty.flush()
    assert faulty.store() == clean.store()


def test_a_long_silence_is_skipped_and_the_price_before_it_goes_on():
    logic, store = new_logic(MONTH), {}
    for number, day in ((1, 0), (2, 20)):
        trade = PlainTrade(number, MONDAY + day * DAY, Decimal(number), Decimal(1), "b")
        logic.on_trades(batch_of([trade]))
    logic.on_heartbeat(MONDAY + 40 * DAY)
    logic.on_heartbeat(MONDAY + 40 * DAY + 2 * MINUTE)
    keep(store, logic.drain()[0])
    minutes = [c for (i, _), c in sorted(store.items()) if i == "1m"]
    assert [(c.open_time_ms * 1000 - MONDAY, c.close) for c in minutes] == [
        (0, "1"),
        (20 * DAY, "2"),
        (40 * DAY, "2"),
        (40 * DAY + MINUTE, "2"),
    ]


def test_a_late_trade_in_a_skipped_silence_corrects_the_quiet_candles_after_it():
    logic, store = new_logic(MONTH), {}
    logic.on_trades(batch_of([PlainTrade(1, MONDAY, Decimal(1), Decimal(1), "b")]))
    logic.on_heartbeat(MONDAY + 20 * DAY)
    logic.on_heartbeat(MONDAY + 20 * DAY + 2 * MINUTE)
    logic.on_trades(batch_of([PlainTrade(2, MONDAY + 9 * DAY, Decimal(2), Decimal(1), "b")]))
    logic.on_heartbeat(MONDAY + 20 * DAY + 3 * MINUTE)
    keep(store, logic.drain()[0])
    after = [
        c for (i, open_ms), c in sorted(store.items()) if i == "1m" and open_ms * 1000 > MONDAY
    ]
    assert [(c.close, c.status) for c in after] == [
        ("2", "closed"),  # where nothing was shown before
        ("2", "corrected"),
        ("2", "corrected"),
        ("2", "closed"),
    ]


@given(st.integers(0, 2_000_000))
def test_a_trade_ahead_of_time_within_grace_is_open_and_closes_nothing_early(ahead_us: int):
    logic = new_logic()
    now_us = MONDAY + 5 * MINUTE
    logic.on_trades(batch_of([PlainTrade(1, now_us - 1, Decimal(5), Decimal(1), "b")]))
    logic.on_trades(batch_of([PlainTrade(2, now_us + ahead_us, Decimal(6), Decimal(1), "b")]))
    candles = logic.drain()[0]
    assert {c.status for c in candles if c.close_time_ms * 1000 > now_us} == {"open"}
    early = [
        c for c in candles if c.status != "open" and c.close_time_ms * 1000 > now_us - ahead_us
    ]
    assert early == [] or ahead_us == 2_000_000


def test_a_trade_ahead_of_time_beyond_grace_closes_at_most_that_early_and_loses_nothing():
    logic, store = new_logic(), {}
    now_us = MONDAY + 5 * MINUTE - 1_000_000
    logic.on_trades(batch_of([PlainTrade(1, now_us, Decimal(5), Decimal(1), "b")]))
    logic.on_trades(batch_of([PlainTrade(2, now_us + 5_000_000, Decimal(6), Decimal(1), "b")]))
    logic.on_trades(batch_of([PlainTrade(3, now_us + 1, Decimal(7), Decimal(1), "b")]))
    keep(store, logic.drain()[0])
    first, second = (store["1m", (MONDAY + k * MINUTE) // 1000] for k in (4, 5))
    assert (first.status, first.close, first.trades) == ("corrected", "7", 2)
    assert (second.status, second.close, second.trades) == ("open", "6", 1)


def test_a_heartbeat_for_a_market_without_trades_makes_no_candle():
    logic = new_logic()
    for minute in range(3):
        logic.on_heartbeat(MONDAY + minute * MINUTE)
    assert logic.drain() == ([], [])
    beats = [
        Heartbeat(venue="kraken", time_us=MONDAY),
        Heartbeat(venue="kraken", time_us=1, market=BTC),
    ]
    inputs = [Input(0, offset, 2**42, b"", codec.encode(beat)) for offset, beat in enumerate(beats)]
    partition = Simulation(inputs, MONTH)
    for _ in inputs:
        partition.step()
    partition.flush()
    assert partition.store() == {}
    assert partition.changelog == []


def test_the_first_trade_after_heartbeats_begins_the_market_where_it_was():
    logic, store = new_logic(), {}
    logic.on_heartbeat(MONDAY + 5 * MINUTE)
    logic.on_trades(batch_of([PlainTrade(1, MONDAY + 3 * MINUTE, Decimal(5), Decimal(1), "b")]))
    keep(store, logic.drain()[0])
    assert {interval for interval, _ in store} == set(INTERVALS)
    assert (
        min(open_ms for interval, open_ms in store if interval == "1m")
        == (MONDAY + 3 * MINUTE) // 1000
    )
    assert all(c.close == "5" for c in store.values())
