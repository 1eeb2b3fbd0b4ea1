"""How good predictions were, and how well they were calibrated."""

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from chaintide.agents.learning.table import Column, Flags, Floats, Ints, Rows, Table, bounded

BINS: Final = 15
FINE: Final = 64  # bins kept, narrow around one half, of which equal shares are made
LEVELS: Final = (0.50, 0.80, 0.90)
_NARROW: Final = 0.1  # how narrow the bins around one half are
_CAME: Final = float(2**26)  # labels that came count as so many more, exact in one number
_SUMS: Final = (
    "labels",
    "flats",
    "log_loss",
    "log_loss_base",
    "brier",
    "brier_base",
    "covered_50",
    "covered_80",
    "covered_90",
)
_GAP_SUMS: Final = ("labels", "brier", "brier_base")


class Bin(msgspec.Struct, frozen=True):
    """Predictions of about the same probability: what was said, and how often it came."""

    labels: int
    said: float
    came: float


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of one market at one interval and horizon; ``None`` where nothing was scored."""

    labels: int
    flats: int
    log_loss: float | None
    log_loss_base: float | None
    brier: float | None
    brier_base: float | None
    ece: float | None
    ece_floor: float | None
    coverage_50: float | None
    coverage_80: float | None
    coverage_90: float | None
    gap1_brier: float | None
    gap1_brier_base: float | None
    bins: list[Bin]


@dataclass(frozen=True, slots=True)
class Graded:
    """Labels with the scores of what had been said, one a place."""

    rose: Floats
    p_up: Floats
    p_base: Floats
    covered: Flags  # [labels, levels]

    @property
    def brier(self) -> Floats:
        """Return the squared errors."""
        return np.asarray((self.p_up - self.rose) ** 2)

    @property
    def brier_base(self) -> Floats:
        """Return those of the base rate."""
        return np.asarray((self.p_base - self.rose) ** 2)

    @property
    def log_loss(self) -> Floats:
        """Return minus the logarithm of the probability of what came."""
        return log_loss(self.p_up, self.rose)

    @property
    def log_loss_base(self) -> Floats:
        """Return that of the base rate."""
        return log_loss(self.p_base, self.rose)


def log_loss(said: Floats, came: Floats) -> Floats:
    """Return minus the logarithm of the probability that ``said`` gave to what ``came``.

    >>> log_loss(np.array([0.5]), np.array([1.0])).round(4).tolist()
    [0.6931]
    """
    return np.asarray(-np.log(np.where(came > 0.5, said, 1.0 - said)))


class Scores:
    """Sums over all labels of each market, of which ``horizon`` overlap each other."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.table = Table(
            {
                "sums": Column(shape=(len(_SUMS),)),
                "gap_sums": Column(shape=(len(_GAP_SUMS),)),
                "counts": Column(shape=(FINE,)),
                "said": Column(shape=(FINE,)),
            }
        )

    def add(self, rows: Rows, graded: Graded, flat: Flags, sign: int = 1) -> None:
        """Count labels, or with ``sign`` -1 take them back."""
        block = np.empty((len(flat), len(_SUMS)), order="F")
        block[:, 0] = 1.0
        block[:, 1] = flat
        block[:, 2], block[:, 3] = graded.log_loss, graded.log_loss_base
        block[:, 4], block[:, 5] = graded.brier, graded.brier_base
        block[:, 6:] = graded.covered
        self.table.floats["sums"][rows] += block if sign == 1 else sign * block
        markets = self.table.capacity
        places = fine_bin(graded.p_up) * markets + np.arange(markets)[rows]
        self.table.floats["said"].T.reshape(-1)[places] += sign * graded.p_up
        self.table.floats["counts"].T.reshape(-1)[places] += sign * (1.0 + _CAME * graded.rose)

    def add_gap(
        self, rows: Rows, rose: Floats, p_up: Floats, p_base: Floats, sign: int = 1
    ) -> None:
        """Count labels that begin one candle after their prediction, or take them back."""
        block = np.empty((len(rose), len(_GAP_SUMS)), order="F")
        block[:, 0], block[:, 1], block[:, 2] = 1.0, (p_up - rose) ** 2, (p_base - rose) ** 2
        self.table.floats["gap_sums"][rows] += block if sign == 1 else sign * block

    def labels(self, rows: Rows) -> Floats:
        """Return how many labels there were."""
        return np.array(self.table.floats["sums"][rows, 0])

    def of(self, row: int) -> Score:
        """Return the scores of one market."""
        sums = dict(zip(_SUMS, self.table.floats["sums"][row].tolist(), strict=True))
        gaps, gap_brier, gap_base = self.table.floats["gap_sums"][row].tolist()
        labels = int(sums["labels"])
        came, counts = np.divmod(self.table.floats["counts"][row], _CAME)
        bins = equal_mass(counts, self.table.floats["said"][row], came)
        return Score(
            labels=labels,
            flats=int(sums["flats"]),
            log_loss=_mean(sums["log_loss"], labels),
            log_loss_base=_mean(sums["log_loss_base"], labels),
            brier=_mean(sums["brier"], labels),
            brier_base=_mean(sums["brier_base"], labels),
            ece=calibration_error(bins) if labels else None,
            ece_floor=error_floor(labels / self.horizon, len(bins)) if labels else None,
            coverage_50=_mean(sums["covered_50"], labels),
            coverage_80=_mean(sums["covered_80"], labels),
            coverage_90=_mean(sums["covered_90"], labels),
            gap1_brier=_mean(gap_brier, gaps),
            gap1_brier_base=_mean(gap_base, gaps),
            bins=bins,
        )


def fine_bin(probabilities: Floats) -> Ints:
    """Return the bin of each probability; bins are narrow around one half.

    >>> fine_bin(np.array([0.0, 0.4999, 0.5001, 1.0])).tolist()
    [0, 31, 32, 63]
    """
    away = 2.0 * probabilities - 1.0
    along = away * ((1.0 + _NARROW) / (np.abs(away) + _NARROW))
    return bounded((along + 1.0) * (FINE / 2), 0, FINE - 1).astype(np.int64)


def equal_mass(counts: Floats, said: Floats, came: Floats) -> list[Bin]:
    """Return at most 15 bins of about as many labels each, made of fine ones.

    >>> equal_mass(np.array([2, 0, 2]), np.array([0.5, 0, 1.5]), np.array([0, 0, 2]))
    [Bin(labels=2, said=0.25, came=0.0), Bin(labels=2, said=0.75, came=1.0)]
    """
    full = np.flatnonzero(counts > 0)
    if not len(full):
        return []
    share = counts[full].sum() / BINS
    middles = np.cumsum(counts[full]) - counts[full] / 2
    groups = np.minimum((middles / share).astype(np.int64), BINS - 1)
    bins = []
    for group in np.unique(groups):
        inside = full[groups == group]
        labels = int(counts[inside].sum())
        bins.append(
            Bin(labels, float(said[inside].sum()) / labels, float(came[inside].sum()) / labels)
        )
    return bins


def calibration_error(bins: list[Bin]) -> float:
    """Return the mean distance of what was said from how often it came (ECE).

    >>> calibration_error([Bin(3, 0.25, 0.0), Bin(1, 0.5, 0.75)])
    0.25
    """
    labels = sum(one.labels for one in bins)
    return sum(one.labels * abs(one.said - one.came) for one in bins) / labels


def error_floor(labels: float, bins: int) -> float:
    """Return the calibration error that perfect forecasts of about one half have by chance.

    Labels that overlap count as one.

    >>> round(error_floor(1500, 15), 4)
    0.0399
    """
    return 0.399 * float(np.sqrt(bins / labels))


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None
