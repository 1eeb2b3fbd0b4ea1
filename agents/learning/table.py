"""Numbers of many markets, column by column, that grow together and can be written down."""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = slice | Ints  # which markets: the first so many, or those named
FIRST_ROWS: Final = 16
_DTYPES: Final = (np.float64, np.float32)


class Column(msgspec.Struct, frozen=True):
    """One column: the shape of its cells, what a new market's cell holds, and if half as wide."""

    fill: float | tuple[float, ...] = 0.0
    shape: tuple[int, ...] = ()
    single: bool = False


class Table:
    """Columns of which row ``i`` belongs to market ``i``.

    In memory the same number of all markets lies side by side, not the numbers of a market: what
    is done to a few numbers of a thousand markets is then a few long loops.

    >>> table = Table({"price": Column(1.5)}, {"labels": Column()})
    >>> table.grow(2)
    >>> table.floats["price"][:2].tolist(), table.rows
    ([1.5, 1.5], 2)
    """

    def __init__(
        self, floats: Mapping[str, Column], ints: Mapping[str, Column] | None = None
    ) -> None:
        self.rows = 0
        self._float_columns = dict(floats)
        self._int_columns = dict(ints or {})
        self.floats: dict[str, Floats] = {}
        self.ints: dict[str, Ints] = {}
        self._make(FIRST_ROWS)

    def grow(self, rows: int) -> None:
        """Have at least ``rows`` rows."""
        if rows > self.capacity:
            old_floats, old_ints = self.floats, self.ints
            self._make(max(rows, 2 * self.capacity))
            for name, floats in old_floats.items():
                self.floats[name][: self.rows] = floats[: self.rows]
            for name, ints in old_ints.items():
                self.ints[name][: self.rows] = ints[: self.rows]
        self.rows = max(rows, self.rows)

    @property
    def capacity(self) -> int:
        """Return how many rows fit before everything has to move."""
        columns = self.floats or self.ints
        return len(next(iter(columns.values()))) if columns else 0

    def reset(self, rows: Rows) -> None:
        """Make ``rows`` those of new markets."""
        for name, column in self._float_columns.items():
            self.floats[name][rows] = column.fill
        for name, column in self._int_columns.items():
            self.ints[name][rows] = column.fill

    def copy_rows(self, other: "Table", rows: Ints) -> None:
        """Make ``rows`` say what those of ``other``, which has the same columns, say."""
        for name, floats in self.floats.items():
            floats[rows] = other.floats[name][rows]
        for name, ints in self.ints.items():
            ints[rows] = other.ints[name][rows]

    def arrays(self) -> dict[str, Floats | Ints]:
        """Return every column, without the room for further rows, by name."""
        columns: dict[str, Floats | Ints] = {}
        columns |= {name: column[: self.rows] for name, column in self.floats.items()}
        columns |= {name: column[: self.rows] for name, column in self.ints.items()}
        return columns

    def restore(self, arrays: Mapping[str, Floats | Ints]) -> None:
        """Take over what ``arrays`` returned."""
        self.rows = 0
        self.grow(len(next(iter(arrays.values()))))
        for name, cells in self.arrays().items():
            cells[...] = arrays[name]

    def _make(self, capacity: int) -> None:
        self.floats = {
            name: np.full((capacity, *column.shape), column.fill, _DTYPES[column.single], order="F")
            for name, column in self._float_columns.items()
        }
        self.ints = {
            name: np.full((capacity, *column.shape), column.fill, dtype=np.int64, order="F")
            for name, column in self._int_columns.items()
        }


def rows_until(count: int, rows: Ints) -> Rows:
    """Return ``rows`` as a slice if they are the first ``count`` in order: views, not copies.

    >>> rows_until(3, np.arange(3)), rows_until(3, np.array([2, 0]))
    (slice(0, 3, None), array([2, 0]))
    """
    if len(rows) == count and bool((rows == np.arange(count)).all()):
        return slice(0, count)
    return rows


def run_of(places: Ints) -> Rows:
    """Return ``places`` as a slice if each is one more than the one before: views, not copies.

    >>> run_of(np.array([4, 5, 6])), run_of(np.array([4, 6]))
    (slice(4, 7, None), array([4, 6]))
    """
    if not len(places) or places[-1] - places[0] != len(places) - 1:
        return places
    run = slice(int(places[0]), int(places[-1]) + 1)
    return run if bool((places == np.arange(run.start, run.stop)).all()) else places


def cells_of(cells: Floats, rows: Rows) -> Floats:
    """Return the cells of ``rows``: a view of a slice, else a copy that lies in memory as they do.

    >>> cells_of(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1])).tolist()
    [[3.0, 4.0]]
    """
    return cells[rows] if isinstance(rows, slice) else cells.T.take(rows, axis=-1).T


def put(cells: Floats, rows: Ints, new: Floats) -> None:
    """Make ``new`` the cells of ``rows``; quicker than to assign where cells have two axes."""
    width = cells[0].size
    cells.T.reshape(width, -1).T[rows] = new.T.reshape(width, -1).T


def summed(cells: Floats) -> Floats:
    """Return the sums of the last axis, each added up in order, so that rows make no difference.

    >>> summed(np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 1.0]])).tolist()
    [7.0, 2.0]
    """
    numbers = np.asarray(cells, order="F").T
    if numbers[0].size == 1:  # where NumPy would add up pairs of pairs
        return np.asarray(np.add.accumulate(numbers)[-1].T)
    return np.asarray(numbers.sum(axis=0).T)


def bounded(column: Floats, least: Floats | float, most: Floats | float) -> Floats:
    """Return ``column`` with every number between two; quicker than ``np.clip`` for few.

    >>> bounded(np.array([-1.0, 0.5, 7.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.minimum(np.maximum(column, least), most)
