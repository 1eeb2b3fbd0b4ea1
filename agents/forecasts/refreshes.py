"""Which open candles are worth another prediction, and when."""

from typing import Final

from msgspec.structs import replace

from chaintide.streams.intervals import WIDTH_MS, Interval
from chaintide.streams.probabilities import Prediction
from chaintide.streams.records import Candle, Market

REFRESHES: Final = 60  # of a candle while it is open, but at most one a second


class Refreshes:
    """The newest form of each open candle since it was last predicted from.

    That happens at most 60 times while it is open, and at most once a second, by event time.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[Market, Interval], Candle] = {}
        self._cells: dict[tuple[Market, Interval], int] = {}

    def on_open(self, candle: Candle) -> None:
        """Note how a candle is now."""
        self._open[candle.market, candle.interval] = candle

    def on_closed(self, candle: Candle) -> None:
        """Forget a candle that is not open any more."""
        self._open.pop((candle.market, candle.interval), None)

    def due(self) -> dict[Interval, list[Candle]]:
        """Return the candles to predict from now, and forget the others until they change."""
        changed, self._open = self._open, {}
        due: dict[Interval, list[Candle]] = {}
        for place, candle in changed.items():
            cell = candle.updated_ms // max(1_000, WIDTH_MS[candle.interval] // REFRESHES)
            if cell > self._cells.get(place, -1):
                self._cells[place] = cell
                due.setdefault(candle.interval, []).append(candle)
        return due


def said_at(said: Prediction, time_ms: int) -> Prediction:
    """Return what was said at 0 as said at ``time_ms``."""
    return replace(
        said,
        prediction_id=f"{said.market}|{said.interval}|{said.horizon}|{time_ms}",
        issued_at=time_ms,
        due_at=said.due_at + time_ms,
        expires_at=said.expires_at + time_ms,
    )
