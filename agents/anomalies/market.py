"""The anomalies of one market: each trade is judged by the seconds before it."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Final

import msgspec
from msgspec.structs import replace

from chaintide.agents.anomalies.alarms import Alarms, Row
from chaintide.agents.anomalies.cells import Cell, Habits, Limits
from chaintide.streams.anomalies import Anomaly
from chaintide.streams.records import Market, TradeBatch

MAX_ADDRESSES: Final = 4_096
MAX_HELD: Final = 10_000
MAX_PENDING: Final = 1_000


class Held(msgspec.Struct, array_like=True):
    """How things were before a block that may be undone, and whom it brought."""

    block: int
    cell: Cell
    last: Row | None
    addresses: list[int]


class Course(msgspec.Struct):
    """All that is known of one market, or of one kind of event of a contract."""

    cell: Cell = msgspec.field(default_factory=Cell)
    last: Row | None = None
    habits: Habits = msgspec.field(default_factory=Habits)
    alarms: Alarms = msgspec.field(default_factory=Alarms)
    addresses: list[int] = []
    held: list[Held] = []
    pending: list[Anomaly] = []
    late: int = 0


class Tick(msgspec.Struct, frozen=True):
    """One row as numbers; ``price`` is 0 where there is none."""

    row: Row
    size: float
    price: float


class MarketLogic:
    """Judges trades, and learns from each second that is over. No clock, no I/O.

    What is told depends on the trades and their order alone. Trades of seconds that are over,
    as they come after a gap of a feed, are counted as ``late`` and left out. Of addresses the
    last 4,096 are known.
    """

    def __init__(
        self, market: Market, event: str | None, budget: float, course: Course | None = None
    ) -> None:
        self.of = (market, event)
        self.budget = budget
        self.course = course or Course()
        self._known = OrderedDict.fromkeys(self.course.addresses)
        self._limits = self._new_limits()

    def state(self) -> Course:
        """Return all that has to be written down."""
        self.course.addresses = list(self._known)
        return self.course

    def on_trades(self, batch: TradeBatch) -> list[Anomaly]:
        """Return what these trades raise."""
        self._hold(batch.block)
        found: list[Anomaly] = []
        for start, stop, second in _seconds(batch.times_us):
            if second < self.course.cell.second:
                self.course.late += stop - start
                continue
            if second > self.course.cell.second:
                found += self._turn(second)
            if batch.traders is not None or not self._take(batch, start, stop):
                for tick in _ticks(batch, range(start, stop)):
                    found += self._on_tick(tick)
        return _last_forms(found)

    def on_event(self, tick: Tick) -> list[Anomaly]:
        """Return what one event of a contract raises."""
        self._hold(tick.row.block)
        second = tick.row.time_us // 1_000_000
        if second < self.course.cell.second:
            self.course.late += 1
            return []
        found = self._turn(second) if second > self.course.cell.second else []
        return _last_forms([*found, *self._on_tick(tick)])

    def undo(self, to_number: int) -> list[Anomaly]:
        """Return what is withdrawn because blocks above ``to_number`` never were.

        Price, pace and addresses are again as they were before. What was learned stays.
        """
        course = self.course
        undone = [held for held in course.held if held.block > to_number]
        if undone:
            course.held = [held for held in course.held if held.block <= to_number]
            course.cell, course.last = undone[0].cell, undone[0].last
            for address in (each for held in undone for each in held.addresses):
                self._known.pop(address, None)
            self._limits = self._new_limits()
        gone = [one for one in course.pending if one.block is not None and one.block > to_number]
        course.pending = [one for one in course.pending if one not in gone]
        if course.alarms.told in gone:
            course.alarms.told = None
        return [replace(one, status="withdrawn") for one in gone]

    def settle(self, number: int) -> None:
        """Forget how to go back to before block ``number``, which is final."""
        course = self.course
        course.held = [held for held in course.held if held.block > number]
        course.pending = [one for one in course.pending if (one.block or 0) > number]

    # ------------------------------------------------------------------ seconds

    def _turn(self, second: int) -> list[Anomaly]:
        """End the open second, and begin the next."""
        course, found = self.course, None
        if course.cell.count and course.last is not None:
            if course.habits.is_striking(course.cell):
                found = course.alarms.on_row(
                    course.last, course.cell, course.habits, self.of, self.budget
                )
                self._note(found)
            is_strange = course.alarms.is_going_on(course.cell.second)
            course.habits.learn(course.cell, is_strange=is_strange)
        course.cell = course.cell.after(second)
        self._limits = self._new_limits()
        return [] if found is None else [found]

    def _take(self, batch: TradeBatch, start: int, stop: int) -> bool:
        """Take rows of the open second, if none of them can be strange."""
        cell, limits = self.course.cell, self._limits
        prices = batch.prices[start:stop]
        price_unit = 10.0**batch.price_scale
        largest = max(batch.sizes[start:stop]) / 10.0**batch.size_scale
        low, high = min(prices) / price_unit, max(prices) / price_unit
        count = cell.count + stop - start
        is_usual = largest < limits.size and count < limits.count
        if not is_usual or low < limits.low or high > limits.high:
            return False
        cell.count = count
        cell.largest = max(cell.largest, largest)
        if cell.reference:
            cell.furthest = max(cell.furthest, cell.move(low), cell.move(high))
        cell.price = prices[-1] / price_unit
        self.course.last = _row(batch, stop - 1)
        return True

    def _on_tick(self, tick: Tick) -> list[Anomaly]:
        course, cell = self.course, self.course.cell
        course.last = tick.row
        cell.count += 1
        cell.largest = max(cell.largest, tick.size)
        if tick.row.address is not None:
            cell.fresh += self._is_new(tick.row.address)
        if tick.price:
            cell.price = tick.price
            if cell.reference:
                cell.furthest = max(cell.furthest, cell.move(tick.price))
        if not _is_beyond(cell, self._limits, tick.price):
            return []
        found = course.alarms.on_row(tick.row, cell, course.habits, self.of, self.budget)
        if found is None:
            return []
        self._note(found)
        self._limits = self._new_limits()
        return [found]

    def _note(self, found: Anomaly | None) -> None:
        """Remember what may have to be withdrawn."""
        if found is not None and found.block is not None:
            pending = self.course.pending
            others = [one for one in pending if one.anomaly_id != found.anomaly_id]
            self.course.pending = [*others[-MAX_PENDING:], found]

    def _new_limits(self) -> Limits:
        course = self.course
        allowed = course.alarms.allowed(course.cell.second, self.budget)
        return course.habits.limits(course.cell, allowed)

    # ------------------------------------------------------------------- chains

    def _hold(self, block: int | None) -> None:
        """Note how things are before the first row of a block."""
        held = self.course.held
        if block is not None and (not held or held[-1].block < block):
            held.append(Held(block, replace(self.course.cell), self.course.last, []))
            del held[:-MAX_HELD]

    def _is_new(self, address: str) -> bool:
        key = int.from_bytes(blake2b(address.encode(), digest_size=7).digest())
        if key in self._known:
            self._known.move_to_end(key)
            return False
        self._known[key] = None
        if len(self._known) > MAX_ADDRESSES:
            self._known.popitem(last=False)
        if self.course.held:
            self.course.held[-1].addresses.append(key)
        return True


def _is_beyond(cell: Cell, limits: Limits, price: float) -> bool:
    is_far = price > 0 and not limits.low <= price <= limits.high
    return (
        is_far
        or cell.largest >= limits.size
        or cell.count >= limits.count
        or cell.fresh >= limits.fresh
    )


def _seconds(times_us: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield from where to where rows are of the same second, and which."""
    first = times_us[0] // 1_000_000
    if len(times_us) == 1 or (min(times_us) // 1_000_000 == first == max(times_us) // 1_000_000):
        yield 0, len(times_us), first
        return
    for second, rows in groupby(range(len(times_us)), lambda row: times_us[row] // 1_000_000):
        places = list(rows)
        yield places[0], places[-1] + 1, second


def _ticks(batch: TradeBatch, rows: range) -> Iterator[Tick]:
    price_unit, size_unit = 10.0**batch.price_scale, 10.0**batch.size_scale
    for row in rows:
        size, price = batch.sizes[row] / size_unit, batch.prices[row] / price_unit
        yield Tick(_row(batch, row), size, price)


def _row(batch: TradeBatch, row: int) -> Row:
    return Row(
        time_us=batch.times_us[row],
        trade_id=batch.ids[row],
        block=batch.block,
        address=None if batch.traders is None else batch.traders[row],
    )


def _last_forms(found: list[Anomaly]) -> list[Anomaly]:
    """Return the last form of each anomaly."""
    return list({one.anomaly_id: one for one in found}.values())
