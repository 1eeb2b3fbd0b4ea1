"""What a partition of forecasts is rebuilt from: snapshots of its learners, and a mark.

The mark is written last and names the snapshots that belong to it, so all that it speaks of is
there, or the mark before it counts.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from chaintide.agents.changelog import OWNER_KEY, Entry
from chaintide.agents.forecasts.selection import Seen
from chaintide.agents.forecasts.silence import Heard
from chaintide.agents.learning import state
from chaintide.agents.learning.learner import Learner
from chaintide.streams import codec
from chaintide.streams.errors import BadRecordError
from chaintide.streams.intervals import Interval
from chaintide.streams.probabilities import Step

MARK_KEY: Final = b"|mark"
ROOM: Final = 2**20  # snapshots of one owner; numbers of the next one are higher


class Plan(msgspec.Struct, frozen=True):
    """Which intervals are learned, and how many candles ahead."""

    intervals: Sequence[Interval]
    horizons: Sequence[int]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """All inputs up to ``offset`` are in the snapshots of these numbers, and in the rest of it."""

    generation: int
    offset: int
    numbers: dict[Interval, int]
    seen: Seen
    steps: dict[str, list[Step]]
    silence: Heard = msgspec.field(default_factory=Heard)


_marks: Final = msgspec.json.Decoder(Mark)
_generations: Final = msgspec.json.Decoder(int)
_headers: Final = msgspec.json.Decoder(state.Header)


class ForecastRecovery:
    """The changelog of one partition, read from its beginning."""

    def __init__(self) -> None:
        self.generation = 0
        self.mark = Mark(generation=0, offset=-1, numbers={}, seen=Seen(), steps={})
        self._entries: dict[bytes, bytes] = {}

    def on_entry(self, key: bytes, value: bytes | None) -> None:
        """Take in the next record."""
        if value is None:
            return
        if key == OWNER_KEY:
            self._see(_generations.decode(value))
        elif key == MARK_KEY:
            mark = _marks.decode(value)
            self._see(mark.generation)
            if (mark.generation, mark.offset) >= (self.mark.generation, self.mark.offset):
                self.mark = mark
        else:
            self._entries[key] = value

    def learner(self, interval: Interval, horizons: Sequence[int]) -> tuple[Learner, int]:
        """Return a learner as it was at the mark, and the number of its snapshot; -1 if none."""
        snapshots = state.Recovery()
        newest = self.mark.numbers.get(interval, -1)
        for key, value in self._entries.items():
            if key.startswith(f"{interval}|".encode()) and _is_below(key, value, newest):
                snapshots.on_entry(key, value)
        learner = Learner(interval, horizons)
        stamp = snapshots.learner(learner)
        return learner, -1 if stamp is None else stamp.number

    def _see(self, generation: int) -> None:
        self.generation = max(self.generation, generation)


def mark_entry(mark: Mark) -> Entry:
    """Return the record of ``mark``."""
    return MARK_KEY, codec.encode(mark)


def next_number(number: int, generation: int) -> int:
    """Return the number of the snapshot after ``number``, in the other of two places.

    >>> next_number(-1, 0), next_number(4, 0), next_number(4, 1) - ROOM
    (0, 5, 1)
    """
    follower = max(number + 1, generation * ROOM)
    return follower + (follower - number + 1) % state.PLACES if number >= 0 else follower


def _is_below(key: bytes, value: bytes, newest: int) -> bool:
    """Return whether a record is a chunk, or the header of a snapshot that the mark has seen."""
    if key.count(b"|") > 1:
        return True
    try:
        return codec.decode(_headers, value).stamp.number <= newest
    except BadRecordError:
        return False
