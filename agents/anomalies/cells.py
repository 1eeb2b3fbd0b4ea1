"""A second of a market, and what is usual of its seconds."""

import math
from typing import Final

import msgspec

from chaintide.agents.anomalies.tails import Tail
from chaintide.streams.anomalies import Feature

FEATURES: Final[tuple[Feature, ...]] = ("size", "pace", "impact", "newness")
KINDS: Final[tuple[Feature, ...]] = (*FEATURES, "combination")
SPAN_S: Final = 10.0  # of pace and newness
DAY_S: Final = 86_400
LEAST_SPREAD: Final = 0.1  # of logarithms: a tenth more than usual is never strange
RAREST: Final = 1e-12
FEW: Final = 4.0  # in ten seconds: fewer are as usual as this
_LONGEST_GAP_S: Final = 3_600
_MEMORY: Final = 500  # seconds
_SHORT_MEMORY: Final = 200
_LEAST_MOVE: Final = 1e-6
_FARTHEST: Final = 10.0  # usual moves; one jump must not make the next one usual


class Cell(msgspec.Struct, array_like=True):
    """A second in which something happened, as far as it has come.

    ``pace`` and ``newness`` are what is left of the trades and the new addresses before it, which
    fade within ten seconds; ``reference`` is the price before it, 0 if there is none.
    ``furthest`` is the farthest move from there, over the root of the seconds since.
    """

    second: int = -1
    gap_s: int = 1
    count: int = 0
    fresh: int = 0
    largest: float = 0.0
    furthest: float = 0.0
    reference: float = 0.0
    price: float = 0.0
    pace: float = 0.0
    newness: float = 0.0

    def after(self, second: int) -> "Cell":
        """Return a later second, with nothing in it yet.

        >>> Cell(second=5, count=3, price=7.0).after(15).reference
        7.0
        """
        if self.second < 0:
            return Cell(second=second)
        gap_s = second - self.second
        left = math.exp(-gap_s / SPAN_S)
        return Cell(
            second=second,
            gap_s=min(gap_s, _LONGEST_GAP_S),
            reference=self.price,
            price=self.price,
            pace=left * (self.pace + self.count),
            newness=left * (self.newness + self.fresh),
        )

    def move(self, price: float) -> float:
        """Return how far ``price`` is from that before, over the root of the seconds since."""
        return abs(math.log(price / self.reference)) / math.sqrt(self.gap_s)


class Limits(msgspec.Struct, frozen=True):
    """What a second may have before it is strange."""

    size: float
    count: float
    low: float
    high: float
    fresh: float


class Habits(msgspec.Struct, array_like=True):
    """What is usual in one market, learned from its seconds; all but ``gap_s`` in logarithms."""

    cells: int = 0
    gap_s: float = 1.0
    size: float = 0.0
    pace: float = 0.0
    newness: float = 0.0
    impact: float = 0.0
    tails: list[Tail] = msgspec.field(
        default_factory=lambda: [Tail(LEAST_SPREAD) for _ in FEATURES] + [Tail(1.0)]
    )

    def features(self, cell: Cell) -> list[float]:
        """Return how each feature of a second lies to what is usual, 0 being usual."""
        return [
            math.log(cell.largest) - self.size,
            _many(cell.pace + cell.count) - self.pace,
            math.log1p(cell.furthest / max(self.impact, _LEAST_MOVE)),
            _many(cell.newness + cell.fresh) - self.newness,
        ]

    def rarity(self, features: list[float]) -> list[float]:
        """Return how often a day each feature is as large as this, and all of them together."""
        a_day = DAY_S / self.gap_s
        chances = [tail.chance(y) for tail, y in zip(self.tails, features, strict=False)]
        chances.append(self.tails[-1].chance(surprise(chances)))
        return [max(RAREST, chance * a_day) for chance in chances]

    def is_striking(self, cell: Cell) -> bool:
        """Return whether more than one feature of a second is in its tail."""
        features = zip(self.tails, self.features(cell), strict=False)
        return sum(tail.chance(y) < 1.0 for tail, y in features) > 1

    def learn(self, cell: Cell, *, is_strange: bool) -> None:
        """Take in a second that is over; what was told of must not make the next like it usual."""
        self.cells += 1
        features = self.features(cell)
        if self.cells > _MEMORY and not is_strange:  # before that nobody knows what is usual
            chances = [tail.chance(y) for tail, y in zip(self.tails, features, strict=False)]
            self.tails[-1].learn(surprise(chances))
            for tail, y in zip(self.tails, features, strict=False):
                tail.learn(y)
        speed = 1 / min(self.cells, _MEMORY)
        self.gap_s += speed * (cell.gap_s - self.gap_s)
        self.size += speed * (math.log(cell.largest) - self.size)
        self.pace += speed * (_many(cell.pace + cell.count) - self.pace)
        self.newness += speed * (_many(cell.newness + cell.fresh) - self.newness)
        if cell.reference:
            is_known = self.cells > _MEMORY
            most = _FARTHEST * max(self.impact, _LEAST_MOVE)
            move = min(cell.furthest, most) if is_known else cell.furthest
            self.impact += (move - self.impact) / min(self.cells, _SHORT_MEMORY)

    def limits(self, cell: Cell, allowed: float) -> Limits:
        """Return what ``cell`` may have until something is rarer than ``allowed`` a day."""
        if allowed <= RAREST:
            return Limits(math.inf, math.inf, 0.0, math.inf, math.inf)
        chance = allowed * self.gap_s / DAY_S
        size, pace, impact, newness = [tail.limit(chance) for tail in self.tails[:-1]]
        far = max(self.impact, _LEAST_MOVE) * _expm1(impact) * math.sqrt(cell.gap_s)
        is_known = cell.reference > 0
        return Limits(
            size=_exp(self.size + size),
            count=_exp(self.pace + pace) - cell.pace,
            low=cell.reference * _exp(-far) if is_known else 0.0,
            high=cell.reference * _exp(far) if is_known else math.inf,
            fresh=_exp(self.newness + newness) - cell.newness,
        )


def surprise(chances: list[float]) -> float:
    """Return how surprising features are together, after Fisher.

    >>> surprise([1.0, 1.0]), surprise([0.01, 0.001]) > surprise([1.0, 0.001])
    (0, True)
    """
    return sum(-math.log(max(RAREST, chance)) for chance in chances if chance < 1)


def _many(number: float) -> float:
    return math.log(max(number, FEW))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _expm1(value: float) -> float:
    return math.expm1(value) if value < 700 else math.inf
