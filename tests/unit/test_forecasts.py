"""Forecasts of a partition: the same however inputs are grouped, cut off and begun again."""

import random
from collections.abc import Iterable
from itertools import groupby

import msgspec
import pytest
from candles import candle

from chaintide.agents.forecasts.changelog import (
    ForecastChangelog,
    ForecastRecovery,
    Memory,
    Plan,
)
from chaintide.agents.forecasts.partition import (
    MAX_MARKETS,
    MAX_STEPS,
    ForecastsLogic,
    together,
)
from chaintide.agents.forecasts.refreshes import MAX_RUN, Refreshes
from chaintide.agents.forecasts.selection import MAX_AGE, Seen, Selection
from chaintide.agents.learning.rules import Rules
from chaintide.agents.partition import Input
from chaintide.api.state.forecasts import Forecasts
from chaintide.streams import codec
from chaintide.streams.intervals import MINUTE_MS, WIDTH_MS, Interval
from chaintide.streams.probabilities import ModelScore, Prediction, Step
from chaintide.streams.records import Candle, CandleBatch, Market

PLAN = Plan(("1m", "5m", "15m"), (1, 5))
MARKETS = [Market(f"kraken:M{n}-USD") for n in range(3)]
QUARTER = 15
SILENCE = 80  # minutes, the second of which one market is silent in
Entry = tuple[bytes, bytes | None]


class World:
    """Candles of some markets as workers write them, minute after minute."""

    def __init__(self, minutes: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.prices = dict.fromkeys(MARKETS, 100.0)
        self.inputs: list[Input] = []
        self.closed: dict[tuple[Market, int], Candle] = {}
        self.now_ms = 0
        for minute in range(minutes):
            self.now_ms = (minute + 1) * MINUTE_MS
            for market in MARKETS:
                if (market, minute // SILENCE) != (MARKETS[2], 1):
                    self._minute(market, minute)

    def add(self, *candles: Candle, generation: int = 1) -> None:
        batch = CandleBatch(
            market=candles[0].market,
            generation=generation,
            offset=len(self.inputs),
            candles=list(candles),
        )
        value = codec.encode(batch)
        self.inputs.append(Input(0, len(self.inputs), self.now_ms, batch.market.encode(), value))

    def _minute(self, market: Market, minute: int) -> None:
        self.prices[market] *= 1 + self.random.gauss(0, 0.001)
        price = f"{self.prices[market]:.4f}"
        open_form = made(market, "1m", minute, price, status="open", revision=0)
        closed = self.closed[market, minute] = made(market, "1m", minute, price)
        self.add(open_form)
        longer = [
            made(market, interval, minute // span, price)
            for interval, span in (("5m", 5), ("15m", QUARTER))
            if (minute + 1) % span == 0
        ]
        self.add(*longer, closed)
        if self.random.random() < 0.05:
            self.add(closed)  # a worker that was killed writes it again
        if minute > 3 and self.random.random() < 0.1:
            old = self.closed[market, minute - 2]
            better = f"{float(old.close) * 1.0005:.4f}"
            amended = msgspec.structs.replace(
                old, close=better, high=better, status="corrected", revision=old.revision + 1
            )
            self.closed[market, minute - 2] = amended
            self.add(amended)


def made(market: Market, interval: Interval, n: int, price: str, **changes: object) -> Candle:
    width = WIDTH_MS[interval]
    prices = dict.fromkeys(("open", "high", "low", "close", "vwap"), price)
    times = {"open_time_ms": n * width, "close_time_ms": (n + 1) * width}
    updated = {"updated_ms": (n + 1) * width - 1_000}
    fields = {"interval": interval, "volume": "1", "taker_buy_volume": "0.5"}
    return candle(market=market, **(fields | prices | times | updated | changes))


class Run:
    """A forecaster with the topics it writes, that can be killed."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.changelog: dict[bytes, bytes] = {}
        self.said: dict[str, Prediction] = {}
        self.repeated: list[tuple[Prediction, Prediction]] = []
        self.scores: dict[tuple[str, str, int], ModelScore] = {}
        self.begin()

    def begin(self) -> None:
        recovery = ForecastRecovery()
        for key, value in self.changelog.items():
            recovery.on_entry(key, value)
        self.logic = ForecastsLogic(self.plan, recovery)

    def feed(self, inputs: Iterable[Input], group: int = 7) -> None:
        for place, message in enumerate(inputs):
            assert self.logic.on_input(message) == []
            if place % group == 0:
                self.drain()
        self.drain()

    def drain(self) -> None:
        for batch in self.logic.drain():
            for one in batch.predictions:
                if one.status == "issued":
                    before = self.said.setdefault(one.prediction_id, one)
                    if before != one:
                        self.repeated.append((before, one))

    def save(self, entries: int | None = None) -> None:
        """Write down the state; with ``entries`` be killed after so many records."""
        self.drain()
        for score in self.logic.grades(10_000):
            self.scores[score.market, score.interval, score.horizon] = score
        written = list(self.logic.checkpoint(0))
        for key, value in written[:entries]:
            if value is None:
                del self.changelog[key]
            else:
                self.changelog[key] = value

    def bits(self) -> dict[str, bytes]:
        return {
            f"{interval}.{table}.{name}": cells.tobytes()
            for interval, learner in self.logic.learners.items()
            for table, columns in learner.tables().items()
            for name, cells in columns.arrays().items()
        }


@pytest.fixture(scope="module")
def world() -> World:
    return World(minutes=240)


@pytest.fixture(scope="module")
def clean(world: World) -> Run:
    run = Run()
    run.feed(world.inputs)
    run.save()
    return run


@pytest.mark.parametrize("group", [1, 2, 50, 10_000])
def test_predictions_do_not_depend_on_how_inputs_are_grouped(world: World, clean: Run, group: int):
    run = Run()
    run.feed(world.inputs, group)
    assert run.said == clean.said
    assert run.bits() == clean.bits()


def test_fifty_kills_change_nothing(world: World, clean: Run):
    chance = random.Random(3)
    run, saved, kills = Run(), 0, 0
    cuts = sorted(chance.sample(range(1, len(world.inputs)), 50))
    for cut in cuts:
        # Redelivery begins anywhere up to what was acknowledged.
        begin = max(0, saved - chance.randrange(3))
        run.feed(world.inputs[begin:cut], group=chance.choice((1, 5, 100)))
        if chance.random() < 0.7:
            whole = chance.random() < 0.7
            written = None if whole else chance.randrange(10)
            run.save(written)
            saved = cut if whole else saved
        run.begin()  # what was in memory is gone
        kills += 1
    run.feed(world.inputs[saved:])
    run.save()
    assert kills == 50
    assert run.repeated == []
    assert run.said == clean.said
    assert run.bits() == clean.bits()
    assert {key: _figures(one) for key, one in run.scores.items()} == {
        key: _figures(one) for key, one in clean.scores.items()
    }


def test_scores_that_were_not_written_before_a_kill_are_written_after_it(world: World, clean: Run):
    run = Run()
    run.feed(world.inputs)
    written = run.logic.grades(4)
    for key, value in run.logic.checkpoint(0):
        if value is not None:
            run.changelog[key] = value
    run.begin()
    written += run.logic.grades(10_000)
    found = {(one.market, one.interval, one.horizon): _figures(one) for one in written}
    assert found == {key: _figures(one) for key, one in clean.scores.items()}
    run.plan = Plan(("1m", "5m"), (1,))  # 5 candles ahead is not wanted any more
    run.begin()
    assert run.logic.grades(10_000) == []


def _figures(score: ModelScore) -> dict[str, object]:
    told = msgspec.structs.asdict(score)
    return {name: value for name, value in told.items() if name not in {"generation", "offset"}}


def test_every_prediction_is_resolved_pending_or_void(clean: Run):
    issued = 0
    for score in clean.scores.values():
        assert score.issued == score.resolved + score.pending + score.void
        issued += score.issued
    assert issued == len(clean.said)
    assert sum(score.amended for score in clean.scores.values()) > 0
    assert {score.market for score in clean.scores.values() if score.void} == {MARKETS[2]}


def test_a_market_that_falls_silent_voids_by_the_time_of_the_others():
    world = World(minutes=0)
    price = "100.0"
    for minute in range(100):
        world.now_ms = (minute + 1) * MINUTE_MS
        for market in MARKETS[: 1 if minute >= 10 else 2]:
            world.add(made(market, "1m", minute, price))
    run = Run(Plan(("1m",), (1, 5)))
    for minutes, pending, void in ((59, 5, 0), (70, 0, 5)):
        run.begin()
        run.feed([one for one in world.inputs if one.time_ms <= (minutes + 1) * MINUTE_MS])
        run.save()
        score = run.scores[MARKETS[1], "1m", 5]
        assert (score.issued, score.resolved, score.pending, score.void) == (10, 5, pending, void)
    assert run.scores[MARKETS[0], "1m", 5].void == 0


def test_every_step_of_a_challenger_is_told():
    world, market = World(minutes=0), MARKETS[0]
    for minute in range(60):
        world.add(made(market, "1m", minute, f"{100 + minute % 7}"))
    run = Run(Plan(("1m",), (1,)))
    run.feed(world.inputs[:30])
    logic = run.logic.learners["1m"].horizons[1]
    watch, logic.contest.rules = logic.drift.learn, Rules(challenger_labels=5, claim=1e30)
    logic.drift.learn = lambda rows, _: rows  # type: ignore[method-assign]
    run.feed(world.inputs[30:31])
    logic.drift.learn = watch  # type: ignore[method-assign]
    run.feed(world.inputs[31:])
    run.save()
    score = run.scores[market, "1m", 1]
    assert [one.kind for one in score.steps] == ["drift", "challenger", "given_up"]
    assert [one.time_ms // MINUTE_MS for one in score.steps] == [31, 31, 36]
    run.begin()
    assert run.logic.learners["1m"].markets == [market]
    run.feed([])
    run.logic._graded["1m", 1, 0] = None
    assert run.logic.grades(1)[0].steps == score.steps  # they outlive a restart


def test_markets_that_are_replayed_one_after_the_other_are_not_silent():
    world = World(minutes=0)
    for market in MARKETS[:2]:
        for minute in range(300):
            world.add(made(market, "1m", minute, "100.0"))
    run = Run(Plan(("1m",), (5,)))
    run.feed(world.inputs)
    run.save()
    assert [score.void for score in run.scores.values()] == [0, 0]


@pytest.mark.parametrize("together", [True, False])
def test_a_corrected_minute_amends_the_longer_candle_that_it_ends(*, together: bool):
    world, market = World(minutes=0), MARKETS[0]
    for minute in range(46):
        world.add(made(market, "1m", minute, f"{100 + minute}"))
        if (minute + 1) % QUARTER == 0:
            world.add(made(market, "15m", minute // QUARTER, f"{100 + minute}"))
    run = Run(Plan(("15m",), (1,)))
    run.feed(world.inputs)
    run.save()
    before = run.scores[market, "15m", 1]
    assert (before.resolved, before.amended) == (2, 0)
    changes = {"status": "corrected", "revision": 2}
    minute = made(market, "1m", 44, "90", **changes)
    quarter = made(market, "15m", 2, "90", **changes)
    heard = len(world.inputs)
    for candles in ((minute, quarter),) if together else ((minute,), (quarter,)):
        world.add(*candles)
    run.feed(world.inputs[heard:])
    run.save()
    after = run.scores[market, "15m", 1]
    assert (after.resolved, after.amended) == (2, 1)
    assert after.brier != before.brier


def test_repeats_and_stale_workers_are_not_learned(world: World, clean: Run):
    run = Run()
    run.feed(world.inputs)
    late = World(minutes=0)
    late.inputs = list(world.inputs)
    late.add(made(MARKETS[0], "1m", 500, "1"), generation=0)
    late.add(*(world.closed[MARKETS[0], minute] for minute in range(200, 240)), generation=2)
    run.feed(late.inputs[len(world.inputs) :])
    assert run.said == clean.said
    assert run.bits() == clean.bits()


def test_an_open_candle_is_predicted_from_once_a_second_and_teaches_nothing(
    world: World, clean: Run
):
    run = Run()
    run.feed(world.inputs)
    found: list[list[Prediction]] = []
    offset = len(world.inputs)
    for step_ms in (0, 100, 1_000, 1_500):
        form = made(MARKETS[0], "1m", 240, "101", status="open", revision=0)
        form = msgspec.structs.replace(form, updated_ms=form.open_time_ms + step_ms)
        batch = CandleBatch(market=MARKETS[0], generation=1, offset=offset, candles=[form])
        run.logic.on_input(Input(0, offset, 0, b"", codec.encode(batch)))
        found.append([one for said in run.logic.drain() for one in said.predictions])
        offset += 1
    assert [len(one) for one in found] == [2, 0, 2, 0]
    first = found[0][0]
    assert first.status == "refreshed"
    assert first.issued_at == 240 * MINUTE_MS
    assert first.due_at == first.issued_at + MINUTE_MS
    assert run.bits() == clean.bits()


def test_what_is_issued_by_a_busy_market_is_told_to_readers_before_what_is_refreshed():
    market, readers = MARKETS[0], Forecasts()
    world, run = World(minutes=0), Run(Plan(("1m",), (1,)))
    told: list[Prediction] = []
    for half in range(2 * 60 * 4):  # a trade each half second; candles close 2 s after their end
        minute, part = divmod(half * 500, MINUTE_MS)
        form = made(market, "1m", minute, "5", status="open", revision=0, updated_ms=half * 500)
        world.add(
            form, *([made(market, "1m", minute - 1, "5")] if minute and part == 2_000 else [])
        )
        assert run.logic.on_input(world.inputs[-1]) == []
        for batch in run.logic.drain():
            pairs = [(one, codec.encode(one)) for one in batch.predictions]
            updates = readers.on_predictions(pairs, half, half * 500)
            for one in updates:
                told += msgspec.json.decode(one.data, type=list[Prediction])
    issued = [one.issued_at for one in told if one.status == "issued"]
    assert issued == [minute * MINUTE_MS for minute in (1, 2, 3)]
    assert [one.issued_at for one in told] == sorted(one.issued_at for one in told)
    refreshed = [one.issued_at // 1_000 for one in told if one.status == "refreshed"]
    assert refreshed == [second for second in range(240) if second < 60 or second % 60 >= 2]
    assert len({one.prediction_id for one in told}) == len(told)


def test_what_is_said_of_a_market_at_one_time_is_in_one_record_side_by_side():
    world, logic = World(minutes=20), Run(Plan(("1m", "5m"), (1, 5))).logic
    for message in world.inputs:
        assert logic.on_input(message) == []
    said = [one for batch in logic.drain() for one in batch.predictions]
    records = together(random.Random(2).sample(said, len(said)), 5)
    places = [[(one.market, one.interval, one.issued_at) for one in some] for some in records]
    assert {len(some) for some in places[:-1]} <= {4, 5}
    for some in places:
        assert len(dict.fromkeys(some)) == len([*groupby(some)])
    assert sum(len(set(some)) for some in places) == len({one for some in places for one in some})
    by_series: dict[tuple[Market, Interval, int], list[int]] = {}
    for one in (one for some in together(said, 5) for one in some):
        by_series.setdefault((one.market, one.interval, one.horizon), []).append(one.issued_at)
    assert all(times == sorted(times) for times in by_series.values())


def test_a_market_whose_candles_close_late_is_refreshed_all_the_same():
    market, refreshes = MARKETS[0], Refreshes()
    refreshes.on_open(made(market, "1m", 0, "5", status="open"))
    assert refreshes.due() == {"1m": {market: MINUTE_MS - 1_000}}
    for after_ms, is_due in ((0, False), (4_999, False), (5_000, True)):
        form = made(market, "1m", 1, "5", status="open", updated_ms=MINUTE_MS + after_ms)
        refreshes.on_open(form)
        assert bool(refreshes.due()) == is_due


def test_what_is_refreshed_when_a_candle_closes_is_another_prediction_than_what_is_issued(
    world: World,
):
    run, n = Run(Plan(("1m",), (1,))), 10
    run.feed(world.inputs[:10])
    offset = len(world.inputs)
    for form in (
        made(MARKETS[0], "1m", n, "5"),
        made(MARKETS[0], "1m", n + 1, "6", status="open", updated_ms=(n + 1) * MINUTE_MS),
    ):
        batch = CandleBatch(market=MARKETS[0], generation=1, offset=offset, candles=[form])
        run.logic.on_input(Input(0, offset, 0, b"", codec.encode(batch)))
        offset += 1
    [batch] = run.logic.drain()
    issued, refreshed = batch.predictions
    assert (issued.status, refreshed.status) == ("issued", "refreshed")
    assert issued.issued_at == refreshed.issued_at
    assert issued.prediction_id != refreshed.prediction_id


def test_a_candle_of_a_chain_is_learned_when_it_is_final():
    market = Market("5151:0xa1/0x01")
    run = Run(Plan(("1m",), (1,)))
    for offset, status in enumerate(("closed", "corrected", "final", "final")):
        form = made(market, "1m", 0, "5", status=status, revision=1 + (status == "corrected"))
        batch = CandleBatch(market=market, generation=1, offset=offset, candles=[form])
        run.logic.on_input(Input(0, offset, 0, b"", codec.encode(batch)))
        said = [one for spoken in run.logic.drain() for one in spoken.predictions]
        assert [one.status for one in said] == [["refreshed"], [], ["issued"], []][offset]
        assert run.logic.learned == int(offset >= 2)


class Chain:
    """A market whose candles are final some minutes late, and a venue with the same prices."""

    def __init__(self, plan: Plan) -> None:
        self.run = Run(plan)
        self.offset = 0
        self.chain, self.venue = Market("5151:0xa1/0x01"), Market("kraken:M9-USD")

    def tell(self, market: Market, status: str, minutes: Iterable[int]) -> dict[str, Prediction]:
        """Send the candles that end with ``minutes``, return what is said of them by interval."""
        candles = []
        for minute in minutes:
            price = f"{100 + minute * 37 % 11 + minute / 7:.4f}"
            for interval in ("1m", "15m"):
                span = WIDTH_MS[interval] // MINUTE_MS
                if status == "open" or (minute + 1) % span == 0:
                    form = made(market, interval, minute // span, price, status=status)
                    now_ms = (minute + 1) * MINUTE_MS - 1_000
                    candles.append(msgspec.structs.replace(form, updated_ms=now_ms))
        batch = CandleBatch(market=market, generation=1, offset=self.offset, candles=candles)
        self.run.logic.on_input(Input(0, self.offset, 0, b"", codec.encode(batch)))
        self.offset += 1
        told = [one for spoken in self.run.logic.drain() for one in spoken.predictions]
        return {one.interval: one for one in told if one.status == "refreshed"}


def test_a_chain_that_is_behind_refreshes_as_a_venue_does():
    world = Chain(Plan(("1m", "15m"), (48,)))
    for minute in range(46):
        world.tell(world.venue, "closed", [minute])
        world.tell(world.chain, "closed", [minute])
        if minute >= 13:
            world.tell(world.chain, "final", [minute - 13])
    found = world.tell(world.chain, "open", [46])
    expected = world.tell(world.venue, "open", [46])
    assert found.keys() == expected.keys() == {"1m", "15m"}
    for interval, one in found.items():
        other = expected[interval]
        assert one.issued_at == other.issued_at == 47 * MINUTE_MS - 1_000
        assert (one.price_ref, one.price_source) == (other.price_ref, other.price_source)
        assert one.quantiles == other.quantiles
        assert one.confidence == other.confidence
    assert found["15m"].price_source == "vwap"


def test_after_a_restart_nothing_is_said_of_a_chain_until_what_was_read_before_is_final():
    world = Chain(Plan(("1m",), (1,)))
    world.tell(world.chain, "final", range(20))
    world.tell(world.chain, "closed", range(20, 25))
    world.run.save()
    world.run.begin()
    assert world.tell(world.chain, "closed", [25, 26]) == {}
    assert world.tell(world.chain, "final", range(20, 25)) == {}
    assert world.tell(world.chain, "open", [27]).keys() == {"1m"}


def test_minutes_are_not_predicted_where_they_are_not_wanted():
    world = Chain(Plan(("15m",), (1,)))
    assert world.tell(world.venue, "open", [3]).keys() == {"15m"}


def test_an_older_candle_that_changes_is_worth_a_prediction_from_the_newest():
    world = Chain(Plan(("1m",), (1,)))
    world.tell(world.chain, "final", range(20))
    first = world.tell(world.chain, "open", [20, 21, 22])["1m"]
    form = made(world.chain, "1m", 21, "300", status="closed", updated_ms=first.issued_at + 5_000)
    batch = CandleBatch(market=world.chain, generation=1, offset=99, candles=[form])
    world.run.logic.on_input(Input(0, 99, 0, b"", codec.encode(batch)))
    [[again]] = [spoken.predictions for spoken in world.run.logic.drain()]
    assert (again.status, again.issued_at) == ("refreshed", first.issued_at + 5_000)
    assert again.price_ref == first.price_ref
    assert again.quantiles != first.quantiles


def test_of_candles_that_may_still_change_so_many_are_kept():
    refreshes, market = Refreshes(), MARKETS[0]
    for minute in range(MAX_RUN + 3):
        refreshes.on_open(made(market, "1m", minute, "5", status="closed"))
    kept = refreshes.run(market, "1m")
    assert [one.open_time_ms // MINUTE_MS for one in kept] == [*range(3, MAX_RUN + 3)]
    refreshes.on_open(made(market, "1m", MAX_RUN, "6", status="corrected"))
    assert refreshes.due() == {"1m": {market: (MAX_RUN + 3) * MINUTE_MS - 1_000}}
    refreshes.on_settled(made(market, "1m", MAX_RUN, "5"))
    assert len(refreshes.run(market, "1m")) == 2
    refreshes.on_settled(made(market, "1m", MAX_RUN + 2, "5"))
    assert refreshes.run(market, "1m") == []
    assert refreshes.due() == {}


def test_what_cannot_be_understood_is_a_dead_letter():
    logic = Run().logic
    [letter] = logic.on_input(Input(0, 7, 0, b"k", b"{broken"))
    assert (letter.topic, letter.offset, letter.key) == ("chaintide.candles.v1", 7, "k")
    batch = CandleBatch(market=MARKETS[0], generation=1, offset=0, candles=[], v=2)
    [letter] = logic.on_input(Input(0, 8, 0, b"k", codec.encode(batch)))
    assert "schema version 2" in letter.reason


def test_more_markets_than_fit_are_counted():
    logic = Run(Plan(("1m",), (1,))).logic
    for n in range(MAX_MARKETS + 2):
        batch = CandleBatch(market=Market(f"x:{n}"), generation=1, offset=n, candles=[])
        logic.on_input(Input(0, n, 0, b"", codec.encode(batch)))
    assert logic.unseen == 2


def test_other_horizons_learn_anew(clean: Run):
    other = Run(Plan(("1m",), (1, 2)))
    other.changelog = dict(clean.changelog)
    other.begin()
    assert other.logic.learners["1m"].markets == []
    assert other.logic.missed == ["1m"]


def test_a_damaged_snapshot_is_told_of_and_does_not_pass_for_the_one_before(world: World):
    run = Run()
    run.feed(world.inputs[:700])
    run.save()
    run.feed(world.inputs[700:])
    run.save()
    counts = {each: learner.counts() for each, learner in run.logic.learners.items()}
    generation, offset = run.logic.generation, run.logic.offset
    mark = msgspec.json.decode(run.changelog[f"{generation}|mark".encode()])
    run.changelog[f"{generation}|5m|{mark['numbers']['5m'] % 2}|0".encode()] = b"x" * 100
    run.begin()
    assert (run.logic.missed, run.logic.offset) == (["5m"], offset)
    assert run.logic.learners["5m"].markets == []
    for interval in ("1m", "15m"):
        assert run.logic.learners[interval].counts() == counts[interval]


@pytest.mark.parametrize("damage", [b"", b"{", b"x" * 100])
def test_damage_to_what_the_mark_remembers_is_told_of(world: World, damage: bytes):
    run = Run()
    run.feed(world.inputs[:100])
    run.save()
    offset = run.logic.offset
    run.changelog[f"{run.logic.generation}|mark|0|0".encode()] = damage
    run.begin()
    assert (run.logic.missed, run.logic.offset) == (["mark"], offset)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_a_stale_owner_writes_late_does_not_replace_what_its_successor_wrote(
    world: World, clean: Run, times: int
):
    stale = Run()
    stale.feed(world.inputs[:100])
    stale.save()
    owner = Run()
    owner.changelog = stale.changelog  # of one topic
    owner.begin()
    owner.feed(world.inputs[100:300])
    owner.save()
    for time in range(times):
        stale.feed(world.inputs[100 + 20 * time :][:20])
        stale.save()
    owner.begin()  # the successor dies, too
    assert (owner.logic.missed, owner.logic.offset) == ([], 299)
    owner.feed(world.inputs[300:])
    assert owner.bits() == clean.bits()
    owner.save()
    assert {key.partition(b"|")[0] for key in owner.changelog} == {b"3"}  # the rest is deleted


def test_an_owner_that_is_killed_before_its_first_mark_leaves_the_mark_before(world: World):
    run = Run()
    run.feed(world.inputs[:300])
    run.save()
    bits, size = run.bits(), len(run.changelog)
    for written in range(size):  # the mark is the record after these
        run.begin()
        run.feed(world.inputs[300:310])
        run.save(written)
        run.begin()
        assert (run.logic.missed, run.logic.offset) == ([], 299)
        assert run.bits() == bits


def test_no_record_of_a_thousand_markets_outgrows_kafka():
    intervals: list[Interval] = ["1s", "10s", "1m", "5m", "15m", "1h", "1d"]
    markets = [Market(f"kraken:MARKET{n}-USD") for n in range(MAX_MARKETS)]
    minutes = [1_761_990_360_000 + n * MINUTE_MS for n in range(MAX_AGE)]
    series = [f"{market}|{interval}" for market in markets for interval in intervals]
    steps = [Step(1_761_990_360_000, "challenger")] * MAX_STEPS
    memory = Memory(
        seen=Seen(
            versions=dict.fromkeys(markets, (1_761_990_300, 10**9)),
            corrected=dict.fromkeys(series, dict.fromkeys(minutes, 2)),
        ),
        steps={f"{one}|{horizon}": steps for one in series for horizon in (1, 5, 15)},
    )
    changelog, recovery = ForecastChangelog(7, []), ForecastRecovery()
    written = list(changelog.entries({}, memory, (0, 41)))
    assert sum(len(value or b"") for _, value in written) > 8 << 20
    assert max(len(value or b"") for _, value in written) <= 256 * 1024
    for key, value in written:
        recovery.on_entry(key, value)
    assert recovery.mark.offset == 41
    assert recovery.memory() == memory


def test_corrections_are_forgotten_once_they_are_too_old_to_amend_anything():
    selection = Selection(Seen())
    for minute in range(10 * MAX_AGE):
        form = made(MARKETS[0], "1m", minute, "5")
        assert selection.verdict(form) == "closed"
        if minute < 5 * MAX_AGE:
            corrected = msgspec.structs.replace(form, status="corrected", revision=2)
            assert [selection.verdict(corrected) for _ in range(2)] == ["corrected", "known"]
        assert sum(map(len, selection.seen.corrected.values())) <= MAX_AGE
    assert selection.seen.corrected == {}
    newest = 10 * MAX_AGE - 1
    changes = {"status": "corrected", "revision": 3}
    for minute, verdict in ((newest - MAX_AGE, "known"), (newest - MAX_AGE + 1, "corrected")):
        assert selection.verdict(made(MARKETS[0], "1m", minute, "5", **changes)) == verdict
