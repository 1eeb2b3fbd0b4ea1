"""One partition of candles: its learners, what they say, and what they must not forget.

What is said when candles close depends on the inputs and their order alone, not on how they are
grouped. What is said in between, from open candles, changes nothing and may differ.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from chaintide.agents.changelog import Entry
from chaintide.agents.forecasts.changelog import (
    MARK,
    ForecastChangelog,
    ForecastRecovery,
    Memory,
    Plan,
)
from chaintide.agents.forecasts.grades import model_score, steps_of
from chaintide.agents.forecasts.refreshes import Refreshes, said_at
from chaintide.agents.forecasts.selection import Selection, in_order
from chaintide.agents.forecasts.silence import Silence
from chaintide.agents.learning.intake import bars_of, on_minutes, predictions
from chaintide.agents.learning.learner import Learner, Tick
from chaintide.agents.learning.references import has_reference
from chaintide.agents.partition import Input, dead_letter
from chaintide.streams import codec
from chaintide.streams.errors import BadRecordError
from chaintide.streams.intervals import ORIGIN_MS, WIDTH_MS, Interval
from chaintide.streams.probabilities import (
    ModelScore,
    Prediction,
    PredictionBatch,
    score_key,
)
from chaintide.streams.records import SCHEMA_VERSION, Candle, CandleBatch, DeadLetter, Market
from chaintide.streams.topics import CANDLES

MAX_MARKETS: Final = 1_000
MAX_STEPS: Final = 20
MAX_TOGETHER: Final = 200  # predictions in one record, about 160 kB
_batches: Final = msgspec.json.Decoder(CandleBatch)


def together(said: Iterable[Prediction], count: int) -> list[list[Prediction]]:
    """Return predictions in lists of ``count``, those of one market and time side by side.

    None of these are parted, so a list may have some less, or all of one time if that is more.
    Those of one market and horizon stay in their order.
    """
    made: dict[tuple[Market, Interval, int], list[Prediction]] = {}
    for one in said:
        made.setdefault((one.market, one.interval, one.issued_at), []).append(one)
    lists: list[list[Prediction]] = []
    for some in made.values():
        if not lists or len(lists[-1]) + len(some) > count:
            lists.append([])
        lists[-1] += some
    return lists


class ForecastsLogic:
    """Learns from the candles of one partition, each once, and predicts.

    Beyond 1,000 markets in one partition, further ones are not forecast and are counted as
    ``unseen``. ``learned`` counts closed candles. ``missed`` are the parts of the changelog that
    its mark speaks of and that could not be read; they begin anew.
    """

    def __init__(self, plan: Plan, recovery: ForecastRecovery, least_generation: int = 1) -> None:
        self.generation = max(recovery.generation + 1, least_generation)
        self.offset = recovery.mark.offset
        self.learned = 0
        self.unseen = 0
        self.learners: dict[Interval, Learner] = {}
        self.missed: list[str] = []
        memory = recovery.memory()
        if memory is None:
            memory = Memory()
            self.missed.append(MARK)
        self._selection = Selection(memory.seen)
        self._steps = dict(memory.steps)
        self._changelog = ForecastChangelog(self.generation, recovery.older(self.generation))
        self._rows: dict[Interval, int] = {}
        self._markets: set[Market] = set()
        self._closed: dict[Interval, list[Candle]] = {}
        self._refreshes = Refreshes()
        self._silence = Silence(memory.silence)
        self._said: list[Prediction] = []
        self._dirty: dict[Interval, None] = {}
        self._graded: dict[tuple[Interval, int, int], None] = {}
        for interval in plan.intervals:
            learner, is_whole = recovery.learner(interval, plan.horizons)
            if not is_whole:
                self.missed.append(interval)
            self._add(learner)
        self._regrade(memory)

    def restart(self) -> None:
        """Take offsets from 0 again: the topic was made anew."""
        self.offset = -1

    def on_input(self, message: Input) -> list[DeadLetter]:
        """Take in one message of the candles topic; return it if it cannot be understood.

        Most of the work waits for ``drain``, so that markets are learned together.
        """
        if message.offset <= self.offset:
            return []
        self.offset = message.offset
        if self._silence.is_due(message.time_ms):
            self._give_up(message.time_ms)
        try:
            batch = codec.decode(_batches, message.value)
        except BadRecordError as error:
            return [dead_letter(CANDLES, message, error.reason)]
        if batch.v != SCHEMA_VERSION:
            reason = f"schema version {batch.v}, this program reads {SCHEMA_VERSION}"
            return [dead_letter(CANDLES, message, reason)]
        if self._is_known(batch.market) and not self._selection.is_stale(batch):
            self._silence.on_market(batch.market, message.time_ms)
            self._on_batch(batch)
        return []

    def drain(self) -> list[PredictionBatch]:
        """Learn what waits, and return what was said since the last call, up to 200 to a record."""
        self._learn()
        self._refresh()
        said, self._said = self._said, []
        return [
            PredictionBatch(generation=self.generation, offset=self.offset, predictions=some)
            for some in together(said, MAX_TOGETHER)
        ]

    def grades(self, most: int) -> list[ModelScore]:
        """Return at most so many of the scores that changed since they were returned."""
        found = []
        for interval, horizon, row in list(islice(self._graded, most)):
            del self._graded[interval, horizon, row]
            learner = self.learners[interval]
            steps = self._steps.get(score_key(learner.markets[row], interval, horizon), ())
            version = (self.generation, self.offset)
            found.append(model_score(learner, horizon, row, version, steps))
        return found

    def checkpoint(self, partition: int) -> Iterable[Entry]:
        """Return the changelog records that make everything applied so far durable."""
        dirty, self._dirty = self._dirty, {}
        changed = {
            interval: learner
            for interval, learner in self.learners.items()
            if interval in dirty or not self._changelog.is_written(interval)
        }
        memory = Memory(
            seen=self._selection.seen,
            steps=self._steps,
            silence=self._silence.heard,
            graded=[
                (interval, horizon, self.learners[interval].markets[row])
                for interval, horizon, row in self._graded
            ],
        )
        return self._changelog.entries(changed, memory, (partition, self.offset))

    # ----------------------------------------------------------------- candles

    def _on_batch(self, batch: CandleBatch) -> None:
        for candle in self._wanted(batch.candles):
            match self._selection.verdict(candle):
                case "closed":
                    self._on_closed(candle)
                case "corrected":
                    self._on_corrected(candle)
                case "open":
                    self._refreshes.on_open(candle)
                case "known":
                    pass

    def _wanted(self, candles: Iterable[Candle]) -> Iterator[Candle]:
        for candle in in_order(candles):
            if candle.interval in self.learners:
                self._place(candle)
                yield candle
            elif candle.interval == "1m":
                yield candle

    def _on_closed(self, candle: Candle) -> None:
        self._refreshes.on_settled(candle)
        if candle.interval == "1m":
            self._on_minute(candle)
        if candle.interval in self.learners:
            self._closed.setdefault(candle.interval, []).append(candle)

    def _on_minute(self, candle: Candle) -> None:
        """Tell longer candles of a minute, after those that ended before it."""
        waiting = [each for each in self._closed if has_reference(WIDTH_MS[each])]
        if any(one.market == candle.market for each in waiting for one in self._closed[each]):
            self._learn()
        for interval, learner in self.learners.items():
            if has_reference(WIDTH_MS[interval]):
                self._rows[interval] = max(self._rows[interval], learner.row(candle.market) + 1)
                on_minutes(learner, [candle])
                self._dirty[interval] = None

    def _on_corrected(self, candle: Candle) -> None:
        """Amend labels; where they are means of a minute, that was corrected before."""
        if candle.interval == "1m":
            self._on_minute(candle)
        if (learner := self.learners.get(candle.interval)) is None:
            return
        self._learn()
        bars = bars_of(learner, [candle])
        row = int(bars.rows[0])
        if has_reference(WIDTH_MS[candle.interval]):
            quiet = bool(bars.quiet[0])
            kept = learner.references.is_kept(row, candle.close_time_ms, quiet=quiet)
            if not (kept and bars.mid[0]):
                return
        if learner.on_corrected(bars):
            self._dirty[candle.interval] = None
            self._graded |= {(candle.interval, each, row): None for each in learner.horizons}

    def _give_up(self, time_ms: int) -> None:
        """Let labels be void in markets that have been silent for long."""
        silent = self._silence.silent(time_ms)
        if not silent:
            return
        self._learn()
        for interval, learner in self.learners.items():
            rows = learner.rows([market for market in learner.markets if market in silent])
            for horizon, void in learner.on_watermark(rows, learner.watermark_ms).items():
                for row in void.tolist():
                    self._graded[interval, horizon, row] = None
                    self._dirty[interval] = None

    # ---------------------------------------------------------------- learning

    def _learn(self) -> None:
        closed, self._closed = self._closed, {}
        for interval, candles in closed.items():
            learner = self.learners[interval]
            self.learned += len(candles)
            self._dirty[interval] = None
            for tick in learner.on_closed(bars_of(learner, candles)):
                self._said += predictions(learner, tick)
                self._grade(learner, tick)

    def _grade(self, learner: Learner, tick: Tick) -> None:
        for settled in tick.settled:
            for row in settled.rows.tolist():
                self._graded[learner.interval, tick.horizon, row] = None
            for row, step in steps_of(learner, settled):
                key = score_key(learner.markets[row], learner.interval, tick.horizon)
                self._steps[key] = [*self._steps.get(key, ()), step][-MAX_STEPS:]

    def _refresh(self) -> None:
        for interval, times in self._refreshes.due().items():
            if (learner := self.learners.get(interval)) is None:
                continue
            runs = (self._refreshes.run(market, interval) for market in times)
            candles = [candle for run in runs for candle in run]
            for tick in learner.on_open(bars_of(learner, candles, self._refreshes.mid)):
                spoken = predictions(learner, tick, status="refreshed", now_ms=0)
                self._said += [said_at(one, times[one.market]) for one in spoken]

    def _regrade(self, memory: Memory) -> None:
        for interval, horizon, market in memory.graded:
            learner = self.learners.get(interval)
            if learner is not None and horizon in learner.horizons and market in learner.markets:
                self._graded[interval, horizon, learner.row(market)] = None

    # ----------------------------------------------------------------- markets

    def _add(self, learner: Learner) -> None:
        interval = learner.interval
        self.learners[interval] = learner
        self._rows[interval] = len(learner.markets)
        for row, market in enumerate(learner.markets):
            self._markets.add(market)
            last = int(learner.table.ints["last"][row])
            opened_ms = ORIGIN_MS[interval] + last * WIDTH_MS[interval]
            self._selection.learned(market, interval, opened_ms)

    def _place(self, candle: Candle) -> None:
        """Give a new market its row now: rows must not depend on when candles are learned."""
        learner = self.learners[candle.interval]
        if learner.row(candle.market) >= self._rows.get(candle.interval, 0):
            self._rows[candle.interval] = len(learner.markets)
            self._dirty[candle.interval] = None

    def _is_known(self, market: Market) -> bool:
        if market in self._markets:
            return True
        if len(self._markets) >= MAX_MARKETS:
            self.unseen += 1
            return False
        self._markets.add(market)
        return True
