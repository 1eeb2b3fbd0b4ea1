"""A switchboard of everything a venue does wrong, each by name, on request or on a schedule.

* ``drop``: the connections are cut
* ``freeze``: they stay open for ``seconds`` and nothing comes through them, not even a pong
* ``replay``: the last 50 trades are sent again
* ``skip``: the next ``count`` trades are left out; REST has them
* ``skip_refused``: they are left out and REST no longer has them
* ``reorder``: the next ``count`` trades are sent last one first
* ``duplicate``: the frames of the next ``count`` trades are sent twice
* ``malformed``: the next ``count`` frames are broken, each in another way
* ``rate_limit``: REST refuses everything for ``seconds``
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, get_args

import msgspec
import numpy as np

from chaintide.streams.simulator.trades import SimTrade

Name = Literal[
    "drop",
    "freeze",
    "replay",
    "skip",
    "skip_refused",
    "reorder",
    "duplicate",
    "malformed",
    "rate_limit",
]
NAMES: Final[tuple[Name, ...]] = get_args(Name)
REPLAYED: Final = 50
MAX_COUNT: Final = 1_000
_MAX_REFUSED: Final = 100_000


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One switch thrown; without ``symbol`` it concerns every market."""

    name: Name
    symbol: str | None = None
    count: int = 5
    seconds: float = 3.0


def schedule(seed: int, *, start_us: int, every_s: float) -> Iterator[tuple[int, Fault]]:
    """Yield random faults and their times, one every ``every_s`` seconds on average.

    What cannot be repaired, ``skip_refused``, is left to those who ask for it.
    """
    rng = np.random.default_rng(seed)
    repairable: list[Name] = [name for name in NAMES if name != "skip_refused"]
    time_us = start_us
    while True:
        time_us += round(rng.exponential(every_s) * 1e6)
        name = repairable[int(rng.integers(len(repairable)))]
        count, seconds = int(rng.integers(1, 30)), round(float(rng.uniform(1, 15)), 1)
        yield time_us, Fault(name=name, count=count, seconds=seconds)


class FaultLogic:
    """The faults in force, and what they do to trades, frames, connections and requests."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._symbols = tuple(symbols)
        self._left: Counter[tuple[str, Name]] = Counter()
        self._held: defaultdict[str, list[SimTrade]] = defaultdict(list)
        self._refused: dict[tuple[str, int], None] = {}
        self._recent = {s: deque[SimTrade](maxlen=REPLAYED) for s in self._symbols}
        self._dropped_us = self._froze_us = self._frozen_until_us = self._limited_until_us = -1

    def on_fault(self, fault: Fault, *, now_us: int) -> None:
        """Throw the switch.

        Raises:
            ValueError: If the symbol is unknown or a number is out of range.
        """
        if fault.symbol not in {None, *self._symbols}:
            raise ValueError(f"unknown symbol {fault.symbol}")
        if not (0 < fault.count <= MAX_COUNT and 0 < fault.seconds < 3_600):
            raise ValueError(f"count must be in 1..{MAX_COUNT} and seconds in 0..3600")
        until_us = now_us + round(fault.seconds * 1e6)
        match fault.name:
            case "drop":
                self._dropped_us = now_us
            case "freeze":
                self._froze_us, self._frozen_until_us = now_us, until_us
            case "rate_limit":
                self._limited_until_us = until_us
            case name:
                for symbol in self._symbols if fault.symbol is None else (fault.symbol,):
                    self._left[symbol, name] = fault.count

    def on_trades(self, symbol: str, trades: list[SimTrade]) -> list[list[SimTrade]]:
        """Return what the socket says when ``trades`` happen, one list for each frame."""
        kept = trades[self._take(symbol, "skip", len(trades)) :]
        refused = self._take(symbol, "skip_refused", len(kept))
        self._refuse(symbol, kept[:refused])
        groups = self._reordered(symbol, kept[refused:])
        repeated = self._take(symbol, "duplicate", sum(map(len, groups)))
        groups += groups if repeated else []
        if self._left.pop((symbol, "replay"), 0):
            groups.append(list(self._recent[symbol]))
        self._recent[symbol].extend(t for t in trades if not self.is_refused(symbol, t.trade_id))
        return [group for group in groups if group]

    def on_frame(self, symbol: str, frame: str) -> str:
        """Return ``frame``, broken if it is this market's turn."""
        if not self._take(symbol, "malformed", 1):
            return frame
        return _BREAKS[self._left[symbol, "malformed"] % len(_BREAKS)](frame)

    def is_dropped(self, opened_us: int) -> bool:
        """Return whether the connection opened at ``opened_us`` has been cut."""
        return opened_us <= self._dropped_us

    def is_frozen(self, opened_us: int, *, now_us: int) -> bool:
        """Return whether the connection opened at ``opened_us`` is frozen; a later one is not."""
        return opened_us <= self._froze_us and now_us < self._frozen_until_us

    def is_limited(self, *, now_us: int) -> bool:
        """Return whether REST refuses requests."""
        return now_us < self._limited_until_us

    def is_refused(self, symbol: str, trade_id: int) -> bool:
        """Return whether REST has lost this trade."""
        return (symbol, trade_id) in self._refused

    def _take(self, symbol: str, name: Name, wanted: int) -> int:
        taken = min(wanted, self._left[symbol, name])
        self._left[symbol, name] -= taken
        return taken

    def _refuse(self, symbol: str, trades: list[SimTrade]) -> None:
        self._refused |= {(symbol, trade.trade_id): None for trade in trades}
        while len(self._refused) > _MAX_REFUSED:
            del self._refused[next(iter(self._refused))]

    def _reordered(self, symbol: str, trades: list[SimTrade]) -> list[list[SimTrade]]:
        """Return the trades as they are, or one by one, last one first, once enough are held."""
        wanted = self._left[symbol, "reorder"]
        if not wanted:
            return [trades]
        held = self._held[symbol]
        held += trades
        if len(held) < wanted:
            return []
        del self._held[symbol], self._left[symbol, "reorder"]
        return [[trade] for trade in reversed(held)]


def _instead(pattern: str, replacement: str) -> Callable[[str], str]:
    """Return a function that replaces the first match."""
    compiled = re.compile(pattern)
    return lambda frame: compiled.sub(replacement, frame, count=1)


_BREAKS: Final[tuple[Callable[[str], str], ...]] = (
    lambda frame: frame[: len(frame) // 2],
    _instead('"price":', '"price":-'),
    _instead('"price":[^,]+', '"price":null'),
    _instead('"qty":[^,]+', '"qty":{"amount":1}'),
    _instead('"trade_id":[^,]+', '"trade_id":"none"'),
    _instead('"timestamp":"[^"]+"', '"timestamp":"yesterday"'),
    _instead('"data":.*', '"data":7}'),
)
