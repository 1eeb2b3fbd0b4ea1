"""Candles that may still change, and when they are worth another prediction."""

from typing import Final

from msgspec.structs import replace

from chaintide.agents.learning.references import has_reference
from chaintide.streams.finality import is_on_chain
from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.probabilities import Prediction
from chaintide.streams.records import Candle, Market

REFRESHES: Final = 60  # of a candle while it is open, but at most one a second
CLOSING_MS: Final = 5_000  # of a candle, in which the one before it may still be closed
MAX_RUN: Final = 64  # candles of a market that may still change; of older ones nothing is said


class Refreshes:
    """The newest form of each candle that its market has not learned from yet.

    Mostly that is the open one; on a chain closed ones that are not final are before it. They are
    worth a prediction at most 60 times while one is open, and at most once a second, by event time.
    Elsewhere a candle that has only begun waits until the one before it has closed, at most for
    five seconds: what is issued then, and scored, would be older than what was said in between.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[Market, Interval], dict[int, Candle]] = {}
        self._changed: dict[tuple[Market, Interval], int] = {}
        self._cells: dict[tuple[Market, Interval], int] = {}

    def on_open(self, candle: Candle) -> None:
        """Note how a candle is now."""
        place = (candle.market, candle.interval)
        run = self._runs.setdefault(place, {})
        run[candle.open_time_ms] = candle
        if len(run) > MAX_RUN:
            del run[min(run)]
        self._changed[place] = max(candle.updated_ms, self._changed.get(place, 0))

    def on_settled(self, candle: Candle) -> None:
        """Forget a candle that does not change any more, and those before it."""
        place = (candle.market, candle.interval)
        run = self._runs.get(place, {})
        for open_time_ms in [each for each in run if each <= candle.open_time_ms]:
            del run[open_time_ms]
        if not run:
            self._runs.pop(place, None)
            self._changed.pop(place, None)

    def due(self) -> dict[Interval, dict[Market, int]]:
        """Return the markets to predict now and the time there, and forget that others changed."""
        changed, self._changed = self._changed, {}
        due: dict[Interval, dict[Market, int]] = {}
        for (market, interval), time_ms in changed.items():
            if self._waits((market, interval), time_ms):
                self._changed[market, interval] = time_ms
                continue
            cell = time_ms // max(1_000, WIDTH_MS[interval] // REFRESHES)
            if cell > self._cells.get((market, interval), -1):
                self._cells[market, interval] = cell
                due.setdefault(interval, {})[market] = time_ms
        return due

    def run(self, market: Market, interval: Interval) -> list[Candle]:
        """Return the candles that may still change, the oldest first."""
        run = self._runs.get((market, interval), {})
        return [run[open_time_ms] for open_time_ms in sorted(run)]

    def mid(self, candle: Candle) -> float | None:
        """Return the mean price of the last minute of ``candle`` that may still change.

        ``None`` if there is none that has ended and had trades: then older ones count.
        """
        if not has_reference(WIDTH_MS[candle.interval]):
            return None
        for minute in reversed(self.run(candle.market, "1m")):
            is_inside = candle.fill == "carry" or minute.open_time_ms >= candle.open_time_ms
            is_over = minute.status != "open" and minute.close_time_ms <= candle.close_time_ms
            if is_inside and is_over and minute.vwap is not None:
                return float(minute.vwap)
        return None

    def _waits(self, place: tuple[Market, Interval], time_ms: int) -> bool:
        run = self._runs.get(place, {})
        if len(run) < 2 or is_on_chain(place[0]):
            return False
        return time_ms - max(run) < CLOSING_MS


def said_at(said: Prediction, time_ms: int) -> Prediction:
    """Return what was said at 0 as said at ``time_ms``; a candle may have closed then, too."""
    return replace(
        said,
        prediction_id=f"{said.market}|{said.interval}|{said.horizon}|{time_ms}|{said.status}",
        issued_at=time_ms,
        due_at=said.due_at + time_ms,
        expires_at=said.expires_at + time_ms,
    )
