"""Laws of the serving state: each part equals a plain recompute of everything it was told."""

from decimal import Decimal, localcontext
from typing import Any

from candles import MARKET, batch, candle
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintide.api.state import overlay as overlays
from chaintide.api.state import series as shelves
from chaintide.api.state import tape as tapes
from chaintide.api.state.overlay import Overlay
from chaintide.api.state.series import Series
from chaintide.api.state.tape import Tape, TapeTrade
from chaintide.api.state.ticker import MINUTES, Ticker, TickerFigures
from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Candle

BOUND = 8

# ------------------------------------------------------------------------ tape

PLACES = st.tuples(st.integers(0, 30), st.integers(0, 12))


def tape_trade(trade_id: int) -> TapeTrade:
    """A trade whose time follows from its id, as the same id always means the same trade."""
    return TapeTrade(trade_id, (trade_id * 7) % 40, "1", "2", "buy")


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=12))
def test_a_tape_holds_the_newest_of_all_trades_each_once(messages: list[list[int]]):
    tape, seen = Tape(), set[int]()
    with bound(tapes, "MAX_TRADES"):
        for ids in messages:
            before = {trade.trade_id for trade in tape.newest(BOUND)}
            fresh = tape.add([tape_trade(number) for number in ids])
            seen |= set(ids)
            expected = sorted(map(tape_trade, seen), key=lambda t: (t.time_us, t.trade_id))[-BOUND:]
            assert tape.newest(BOUND) == expected
            assert fresh == [trade for trade in expected if trade.trade_id not in before]


@given(st.lists(st.integers(0, 40), max_size=8, unique=True), st.integers(-1, 41))
def test_a_tape_read_from_a_time_on_begins_there(ids: list[int], time_us: int):
    tape = Tape()
    tape.add(map(tape_trade, ids))
    assert tape.since(time_us) == [t for t in tape.newest(99) if t.time_us >= time_us]


# ---------------------------------------------------------------------- ticker

PRICES = st.one_of(
    st.decimals(min_value=Decimal("0.00000001"), max_value=10**6, places=8),
    st.sampled_from([Decimal("1e-30"), Decimal(10**18), Decimal(2**63 - 1), Decimal("3.5")]),
)
MINUTES_SEEN = st.one_of(
    st.integers(0, 4), st.integers(MINUTES - 3, MINUTES + 3), st.integers(0, 3 * MINUTES)
)


@st.composite
def minute_candles(draw: st.DrawFn) -> Candle:
    """One form of a one-minute candle, traded in or quiet."""
    traded = draw(st.booleans() | st.just(True))
    prices = sorted(draw(PRICES) for _ in range(4 if traded else 1))
    opened, closed = draw(st.permutations(prices[1:3])) if traded else prices * 2
    volume, quote = (draw(PRICES), draw(PRICES)) if traded else (Decimal(0), Decimal(0))
    return candle(
        draw(MINUTES_SEEN),
        open=plain(opened),
        close=plain(closed),
        high=plain(prices[-1]),
        low=plain(prices[0]),
        volume=plain(volume),
        quote_volume=plain(quote),
        trades=draw(st.integers(1, 9)) if traded else 0,
    )


def plain(number: Decimal) -> str:
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


@given(st.lists(minute_candles(), min_size=1, max_size=25))
@settings(max_examples=300)
def test_a_ticker_equals_a_plain_recompute(forms: list[Candle]):
    ticker, held, newest = Ticker(MARKET), dict[int, Candle](), -1
    for form in forms:
        minute = form.open_time_ms // MINUTE_MS
        assert ticker.put(form) == (minute > newest - MINUTES)
        newest = max(newest, minute)
        if minute > newest - MINUTES:
            held[minute] = form
        inside = [held[m] for m in sorted(held) if newest - MINUTES < m]
        check_figures(ticker.figures(), inside, newest)


def check_figures(figures: TickerFigures | None, inside: list[Candle], newest: int) -> None:
    traded = [c for c in inside if c.trades]
    assert figures is not None
    assert figures.close_time_ms == (newest + 1) * MINUTE_MS
    assert figures.last == inside[-1].close
    with localcontext() as context:
        context.prec = 200
        first = traded[0].open if traded else figures.last
        change = Decimal(figures.last) - Decimal(first)
        assert figures.open == first
        assert Decimal(figures.change or "") == change
        percent = Decimal(figures.change_percent or "")
        assert abs(percent - change / Decimal(first) * 100) <= Decimal("0.00005")
        assert figures.volume == plain(sum((Decimal(c.volume) for c in traded), Decimal()))
        assert figures.quote_volume == plain(
            sum((Decimal(c.quote_volume) for c in traded), Decimal())
        )
    assert figures.high == plain(max((Decimal(c.high) for c in traded), default=Decimal(first)))
    assert figures.low == plain(min((Decimal(c.low) for c in traded), default=Decimal(first)))
    assert figures.trades == sum(c.trades for c in traded)


def test_a_change_is_rounded_half_up_and_keeps_its_sign():
    ticker = Ticker(MARKET)
    ticker.put(candle(0, open="8", close="7", high="9", low="7"))
    figures = ticker.figures()
    assert figures is not None
    assert (figures.change, figures.change_percent) == ("-1", "-12.5")
    ticker.put(candle(0, open="1000000", close="1000000.5", high="1000001", low="1"))
    figures = ticker.figures()
    assert figures is not None
    assert figures.change_percent == "0.0001"


def test_a_ticker_of_ordinary_numbers_keeps_to_70_kilobytes():
    ticker = Ticker(MARKET)
    for minute in range(2 * MINUTES):
        ticker.put(candle(minute, high="64000.12", volume="0.3", quote_volume="19200.5"))
    assert ticker._rows.nbytes + ticker._trades.nbytes <= 70_000


# ------------------------------------------------------- overlay over a store


def versions(minutes: int) -> st.SearchStrategy[Candle]:
    """Forms of candles that only grow, as one worker writes them."""
    return st.builds(
        lambda minute, age: candle(minute, revision=age // 3, updated_ms=age, trades=age),
        st.integers(0, minutes),
        st.integers(0, 20),
    )


@given(
    st.lists(versions(20), max_size=40),
    st.integers(0, 40),
    st.none() | st.integers(0, 20),
    st.none() | st.integers(0, 21),
)
def test_store_and_topic_together_say_the_newest_of_both(
    forms: list[Candle], stored_until: int, first: int | None, end: int | None
):
    growing, ages = list[Candle](), dict[int, int]()
    for form in forms:
        if form.updated_ms >= ages.get(form.open_time_ms, 0):
            ages[form.open_time_ms] = form.updated_ms
            growing.append(form)
    series, store = Series(), dict[int, Candle]()
    # The store is behind by no more than the topic's newest candles.
    behind = growing[max(0, len(growing) - 8) :]
    for form in growing[: max(stored_until, len(growing) - len(behind))]:
        store[form.open_time_ms] = form
    with bound(shelves, "MAX_RECENT"):
        for form in growing:
            series.put(form)
    start_ms = None if first is None else first * MINUTE_MS
    end_ms = None if end is None else end * MINUTE_MS
    inside = [
        c
        for _, c in sorted(store.items())
        if (start_ms or 0) <= c.open_time_ms < (10**9 if end_ms is None else end_ms)
    ]
    newest = {form.open_time_ms: form for form in growing}
    expected = [
        newest[t]
        for t in sorted(newest)
        if (start_ms or 0) <= t < (10**9 if end_ms is None else end_ms)
    ]
    assert series.over(inside, start_ms, end_ms) == without_islands(expected, inside)


def without_islands(expected: list[Candle], inside: list[Candle]) -> list[Candle]:
    """Leave out what is newer than a hole behind the end of a store."""
    last = inside[-1].open_time_ms if inside else 10**9
    ends = {c.close_time_ms for c in expected} | {c.open_time_ms for c in expected[:1]}
    islands = [c.open_time_ms for c in expected if c.open_time_ms > last]
    cut = min((at for at in islands if at not in ends), default=10**9)
    return [c for c in expected if c.open_time_ms < cut]


@given(st.integers(0, 12), st.integers(0, 40), st.integers(0, 45), st.integers(1, 20))
def test_however_far_a_store_is_behind_there_are_no_holes(
    stored_until: int, told_from: int, told_until: int, count: int
):
    series = Series()
    stored = [candle(minute) for minute in range(stored_until)]
    with bound(shelves, "MAX_RECENT"):
        for minute in range(told_from, told_until):
            series.put(candle(minute))
        read = series.over(stored, None, None)
        series.load(stored, is_whole=True)
    newest, is_short = series.newest(count)
    for found in (read, newest):
        opens = [c.open_time_ms for c in found]
        assert opens == [opens[0] + n * MINUTE_MS for n in range(len(opens))] if opens else True
    if told_until > told_from:
        assert newest[-1].open_time_ms == (max(told_until, stored_until) - 1) * MINUTE_MS
    kept_from = max(told_from, told_until - BOUND)
    # With nothing stored only a full list says that there was more.
    is_behind = kept_from > stored_until and told_until - told_from >= (1 if stored else BOUND)
    if is_behind and len(newest) < count:
        assert is_short
        assert series.covered(0, None, count) is None
    if is_behind and stored:
        assert read == stored


def test_a_higher_revision_is_newer_whatever_the_times():
    series, stored = Series(), candle(0, revision=3, updated_ms=5)
    series.put(candle(0, revision=2, updated_ms=9))
    assert series.over([stored], None, None) == [stored]
    series.put(candle(0, revision=3, updated_ms=5, status="final"))
    assert series.over([stored], None, None)[0].status == "final"


@given(
    st.lists(versions(30), max_size=60),
    st.integers(1, 12),
    st.lists(versions(30), max_size=20),
    st.integers(1, 12),
)
def test_a_loaded_series_has_no_holes_and_follows_its_topic(
    stored: list[Candle], loaded: int, later: list[Candle], count: int
):
    truth = {form.open_time_ms: form for form in stored}
    series = Series()
    newest = [truth[t] for t in sorted(truth)]
    kept = newest[max(0, len(newest) - loaded) :]
    with bound(shelves, "MAX_LOADED"):
        series.load(kept, is_whole=len(kept) == len(newest))
        for form in later:
            series.put(form)
            truth[form.open_time_ms] = form
        found, is_short = series.newest(count)
    everything = [truth[t] for t in sorted(truth)]
    assert found == everything[max(0, len(everything) - len(found)) :]
    if not is_short:
        assert found == everything[max(0, len(everything) - count) :]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 3), st.integers(0, 9)),
        max_size=60,
    )
)
def test_an_overlay_is_bounded_and_a_stale_writer_changes_nothing(steps: Any):
    overlay, newest = Overlay(max_candles=BOUND), dict[str, tuple[int, int]]()
    for offset, (minute, number, generation, applied) in enumerate(steps):
        form = candle(minute, market=f"kraken:{number}", updated_ms=offset)
        held = newest.get(form.market, (0, 0))
        changed = overlay.apply(batch(form, generation=generation, offset=applied), offset)
        if (generation, applied) < held:
            assert changed == []
            continue
        newest[form.market] = (generation, applied)
        assert changed == [(overlays.seq_of(offset), form)]
        total = sum(len(series) for series in overlay._series.values())
        assert total == overlay._total <= BOUND


class bound:  # noqa: N801  reads like a word of the tests
    """A smaller limit for the time of a block, so that examples can exceed it."""

    def __init__(self, module: Any, name: str) -> None:
        self.place = (module, name)

    def __enter__(self) -> None:
        self.before = getattr(*self.place)
        setattr(*self.place, BOUND)

    def __exit__(self, *_: object) -> None:
        setattr(*self.place, self.before)
