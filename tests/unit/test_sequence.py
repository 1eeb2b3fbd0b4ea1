from chaintide.streams.feeds.adapter import Mark, Page, VenueTrade
from chaintide.streams.feeds.sequence import (
    HOLD_MS,
    MAX_MISSING,
    MAX_WAITING,
    REFUSED_RETRY_MS,
    REORDER_MS,
    REPLAY_MS,
    Delivery,
    Fetch,
    SequenceLogic,
)
from chaintide.streams.records import Gap, Market

MARKET = Market("kraken:BTC-USD")


def trades(*ids: int) -> list[VenueTrade]:
    return [
        VenueTrade(symbol="BTC/USD", id=i, time_us=i * 1000, price=(1, 0), size=(1, 0), side="b")
        for i in ids
    ]


def resumed() -> SequenceLogic:
    logic = SequenceLogic(MARKET, Mark(10, 10_000))
    logic.on_subscribed(now_ms=0)
    return logic


def live() -> SequenceLogic:
    logic = resumed()
    logic.on_trades(trades(10), now_ms=0)
    return logic


def delivered(outputs) -> list[int]:
    return [t.id for output in outputs if isinstance(output, Delivery) for t in output.trades]


def fetched(logic: SequenceLogic, now_ms: int) -> Fetch:
    (fetch,) = logic.on_tick(now_ms=now_ms)
    assert isinstance(fetch, Fetch)
    return fetch


def test_a_first_start_takes_the_replayed_trades_and_promises_nothing_before():
    logic = SequenceLogic(MARKET)
    logic.on_subscribed(now_ms=0)
    assert not logic.is_caught_up
    assert delivered(logic.on_trades(trades(7, 5, 6), now_ms=1)) == [5, 6, 7]
    assert logic.is_caught_up


def test_a_market_that_never_traded_is_caught_up_after_a_second():
    logic = SequenceLogic(MARKET)
    logic.on_subscribed(now_ms=0)
    assert logic.on_tick(now_ms=REPLAY_MS - 1) == []
    assert not logic.is_caught_up
    assert logic.on_tick(now_ms=REPLAY_MS) == []
    assert logic.is_caught_up
    assert delivered(logic.on_trades(trades(7), now_ms=HOLD_MS)) == [7]


def test_replayed_trades_are_suppressed_and_prove_that_nothing_was_missed():
    logic = resumed()
    assert logic.on_trades(trades(8, 9, 10), now_ms=0) == []
    assert (logic.duplicates, logic.is_caught_up) == (3, True)
    assert logic.on_tick(now_ms=HOLD_MS) == []


def test_live_trades_wait_for_the_backfill_and_win_over_it():
    logic = resumed()
    fetch = fetched(logic, 0)
    assert fetch.after == Mark(10, 10_000)
    assert logic.on_trades(trades(13, 14), now_ms=0) == []
    outputs = logic.on_page(fetch, Page(trades(9, 10, 11, 12, 13), is_full=False), now_ms=100)
    assert delivered(outputs) == [11, 12, 13, 14]
    assert logic.is_caught_up


def test_a_reordering_within_the_window_is_neither_lost_nor_fetched():
    logic = live()
    assert logic.on_trades(trades(12), now_ms=0) == []
    assert logic.on_tick(now_ms=REORDER_MS - 1) == []
    assert delivered(logic.on_trades(trades(11), now_ms=REORDER_MS - 1)) == [11, 12]
    assert logic.is_caught_up


def test_a_jump_on_a_live_socket_is_fetched_although_repeats_go_on():
    logic = live()
    logic.on_trades(trades(13), now_ms=0)
    logic.on_trades(trades(10), now_ms=REORDER_MS - 1)
    assert fetched(logic, REORDER_MS).missing is None


def test_a_refusal_is_a_gap_at_once_and_filled_when_the_venue_relents():
    logic = resumed()
    fetch = fetched(logic, 0)
    logic.on_trades(trades(13), now_ms=0)
    outputs = logic.on_failure(fetch, "HTTP 403", now_ms=5, retry_ms=None)
    gap = Gap(market=MARKET, from_us=10_000, to_us=13_000, reason="HTTP 403")
    assert outputs[0] == gap
    assert delivered(outputs) == [13]
    assert logic.is_caught_up
    again = fetched(logic, 6)
    outputs = logic.on_page(again, Page(trades(11, 12, 13, 14), is_full=False), now_ms=7)
    assert delivered(outputs) == [11, 12]
    assert outputs[-1] == Gap(
        market=MARKET, from_us=10_000, to_us=13_000, reason="HTTP 403", filled=True
    )


def test_a_slow_backfill_holds_live_trades_for_thirty_seconds_only():
    logic = resumed()
    fetched(logic, 0)
    logic.on_trades(trades(13), now_ms=0)
    assert logic.on_tick(now_ms=HOLD_MS - 1) == []
    gap, delivery = logic.on_tick(now_ms=HOLD_MS)
    assert isinstance(gap, Gap)
    assert delivered([delivery]) == [13]


def test_trades_missing_for_good_are_asked_for_once_a_minute():
    logic = resumed()
    fetch = fetched(logic, 0)
    logic.on_trades(trades(13), now_ms=0)
    logic.on_failure(fetch, "HTTP 403", now_ms=0, retry_ms=None)
    again = fetched(logic, 1)
    assert logic.on_failure(again, "HTTP 403", now_ms=2, retry_ms=None) == []
    assert logic.on_tick(now_ms=1 + REFUSED_RETRY_MS) == []
    assert fetched(logic, 2 + REFUSED_RETRY_MS).missing == again.missing


def test_ids_that_start_over_are_a_gap_and_not_silence():
    logic = live()
    again = [
        VenueTrade(symbol="BTC/USD", id=1, time_us=60_000_000, price=(1, 0), size=(1, 0), side="s")
    ]
    gap, delivery = logic.on_trades(again, now_ms=0)
    assert gap == Gap(market=MARKET, from_us=10_000, to_us=60_000_000, reason="trade ids restarted")
    assert delivered([delivery]) == [1]
    assert logic.is_caught_up


def test_too_many_waiting_trades_are_fetched_instead():
    logic = resumed()
    fetch = fetched(logic, 0)
    logic.on_trades(trades(*range(20, 21 + MAX_WAITING)), now_ms=0)
    outputs = logic.on_page(fetch, Page(trades(11, 12), is_full=True), now_ms=1)
    assert delivered(outputs) == [11, 12]
    assert fetched(logic, 1).after == Mark(12, 12_000)


def test_one_of_too_many_gaps_is_no_longer_fetched():
    logic = live()
    fetches = []
    for i in range(MAX_MISSING + 1):
        now_ms = i * HOLD_MS
        logic.on_trades(trades(20 + 10 * i), now_ms=now_ms)
        fetches += [o for o in logic.on_tick(now_ms=now_ms + HOLD_MS) if isinstance(o, Fetch)]
    assert logic.is_caught_up
    (under_way,) = fetches
    assert under_way.after.id == 10
    page = Page(trades(*range(11, 21)), is_full=False)
    outputs = logic.on_page(under_way, page, now_ms=now_ms + HOLD_MS)
    assert delivered(outputs) == list(range(11, 20))
    assert fetched(logic, now_ms + HOLD_MS).after.id == 20


def test_a_rest_that_is_behind_the_socket_is_asked_again_after_a_second():
    logic = resumed()
    fetch = fetched(logic, 0)
    logic.on_trades(trades(13), now_ms=0)
    outputs = logic.on_page(fetch, Page(trades(10, 11), is_full=False), now_ms=50)
    assert delivered(outputs) == [11]
    assert not logic.is_caught_up
    assert logic.on_tick(now_ms=1049) == []
    assert fetched(logic, 1050).after == Mark(11, 11_000)


def test_what_the_answer_of_the_venue_passes_over_is_a_gap():
    logic = resumed()
    fetch = fetched(logic, 0)
    logic.on_trades(trades(16), now_ms=0)
    outputs = logic.on_page(fetch, Page(trades(12, 13, 16), is_full=False), now_ms=1)
    assert [(o.from_us, o.to_us, o.reason) for o in outputs if isinstance(o, Gap)] == [
        (10_000, 12_000, "the venue lacks 11 to 11"),
        (13_000, 16_000, "the venue lacks 14 to 15"),
    ]
    assert delivered(outputs) == [12, 13, 16]
    assert logic.is_caught_up
    assert logic.on_tick(now_ms=REFUSED_RETRY_MS) == []


def test_a_gap_that_can_only_be_filled_in_part_shrinks():
    logic = resumed()
    fetch = fetched(logic, 0)
    logic.on_trades(trades(16), now_ms=0)
    logic.on_failure(fetch, "HTTP 403", now_ms=0, retry_ms=None)
    first = logic.on_page(fetched(logic, 1), Page(trades(11, 13), is_full=True), now_ms=1)
    assert (delivered(first), first[1:]) == ([11, 13], [])
    outputs = logic.on_page(fetched(logic, 1), Page(trades(14, 16), is_full=False), now_ms=2)
    assert delivered(outputs) == [14]
    assert [(o.from_us, o.to_us, o.filled) for o in outputs if isinstance(o, Gap)] == [
        (10_000, 16_000, True),
        (11_000, 13_000, False),
        (14_000, 16_000, False),
    ]


def test_a_long_backfill_goes_on_page_by_page():
    logic = resumed()
    outputs = logic.on_page(fetched(logic, 0), Page(trades(11, 12), is_full=True), now_ms=1)
    assert delivered(outputs) == [11, 12]
    assert not logic.is_caught_up
    logic.on_page(fetched(logic, 1), Page(trades(13), is_full=False), now_ms=2)
    assert logic.is_caught_up


def test_a_disconnected_market_promises_nothing():
    logic = live()
    assert logic.is_caught_up
    logic.on_disconnect()
    assert not logic.is_caught_up
