"""How rare a value is, learned from all before it in constant memory."""

import math
from typing import Final

import msgspec

SHARE: Final = 0.02  # of values that are in the tail
LEAST: Final = 500  # values before anything is said
_STEP: Final = 0.02
_MEMORY: Final = 400  # values of the tail
_SHAPES: Final = (-0.25, 0.05)  # features are logarithms: above 0 would be heavier than any power
_CAUTION: Final = 1.0
_FARTHEST: Final = 5.0  # mean excesses; one value must not make the next one usual


class Tail(msgspec.Struct, array_like=True):
    """The largest fiftieth of values, as a generalised Pareto distribution that follows them.

    ``level`` is what one value of fifty exceeds, ``excess`` by how much on average, and
    ``squares`` the mean square of that. Nothing is said of a market's first 500 values, nor is
    an excess believed to be below ``least``.

    >>> tail = Tail(least=0.1)
    >>> for n in range(1000):
    ...     tail.learn(n % 100 / 100)
    >>> round(tail.level, 1), tail.chance(0.5), tail.chance(9.0) < 1e-5
    (1.0, 1.0, True)
    """

    least: float
    count: int = 0
    above: int = 0
    level: float = 0.0
    excess: float = 0.0
    squares: float = 0.0
    first: list[float] = []

    def learn(self, value: float) -> None:
        """Take in the next value."""
        self.count += 1
        if self.count <= LEAST:
            self.first.append(value)
            if self.count == LEAST:
                self._begin()
        elif value > self.level:
            self._exceeded(value - self.level)
            self.level += _STEP * self._mean() * (1 - SHARE)
        else:
            self.level -= _STEP * self._mean() * SHARE

    def chance(self, value: float) -> float:
        """Return the probability of a value as large as this; 1 if it is not in the tail."""
        if self.count < LEAST or value <= self.level:
            return 1.0
        shape, scale = self._form()
        far = (value - self.level) / scale
        if abs(shape) < 1e-9:
            return SHARE * math.exp(-far)
        room = 1 + shape * far
        return SHARE * room ** (-1 / shape) if room > 0 else 0.0

    def limit(self, chance: float) -> float:
        """Return the value that is exceeded with this probability, at most that of the tail."""
        if self.count < LEAST:
            return math.inf
        if chance >= SHARE:
            return self.level
        shape, scale = self._form()
        far = math.log(SHARE / chance)
        return self.level + scale * (math.expm1(shape * far) / shape if abs(shape) > 1e-9 else far)

    def _begin(self) -> None:
        ordered, self.first = sorted(self.first), []
        self.level = ordered[-1 - round(LEAST * SHARE)]
        for value in ordered:
            if value > self.level:
                self._exceeded(value - self.level)

    def _exceeded(self, excess: float) -> None:
        self.above += 1
        speed = 1 / min(self.above, _MEMORY)
        excess = min(excess, _FARTHEST * max(self._mean(), excess / self.above))
        self.excess += speed * (excess - self.excess)
        self.squares += speed * (excess * excess - self.squares)

    def _mean(self) -> float:
        return max(self.excess, self.least)

    def _form(self) -> tuple[float, float]:
        """Return shape and scale, both a little larger the less of the tail has been seen."""
        mean = self._mean()
        spread = max(self.squares - self.excess * self.excess, 1e-12)
        doubt = _CAUTION / math.sqrt(max(1, min(self.above, _MEMORY)))
        lowest, highest = _SHAPES
        lowest *= min(1.0, self.above / _MEMORY)  # few values seem to end where they do not
        shape = 0.5 * (1 - mean * mean / spread) + doubt / 2
        shape = min(max(shape, lowest), highest)
        return shape, mean * (1 - shape) * (1 + doubt)
