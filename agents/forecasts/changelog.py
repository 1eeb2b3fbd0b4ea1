"""What a partition of forecasts is rebuilt from: snapshots of its learners, and a mark.

Every owner writes below its own generation, beginning with a snapshot of all it was given, so
nothing that a stale owner writes replaces what its successor has written. The mark is written
last and names the snapshots that belong to it, so all that it speaks of is there, or the mark
before it counts. What older generations wrote is deleted after the first mark of the next.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
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
from chaintide.streams.records import Market

MARK: Final = "mark"


class Plan(msgspec.Struct, frozen=True):
    """Which intervals are learned, and how many candles ahead."""

    intervals: Sequence[Interval]
    horizons: Sequence[int]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition must not forget beside its learners.

    ``graded`` are scores that changed and are not written yet: interval, horizon and market.
    """

    seen: Seen = msgspec.field(default_factory=Seen)
    steps: dict[str, list[Step]] = {}
    silence: Heard = msgspec.field(default_factory=Heard)
    graded: list[tuple[Interval, int, Market]] = []


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """All inputs up to ``offset`` are in the snapshots of these numbers, and in the memory.

    ``number`` is that of the mark itself; ``chunks`` and ``crc`` are of its memory.
    """

    generation: int
    offset: int
    number: int
    numbers: dict[Interval, int]
    chunks: int
    crc: int


_NOTHING: Final = Mark(generation=0, offset=-1, number=-1, numbers={}, chunks=0, crc=0)
_marks: Final = msgspec.json.Decoder(Mark)
_memories: Final = msgspec.json.Decoder(Memory)
_generations: Final = msgspec.json.Decoder(int)
_headers: Final = msgspec.json.Decoder(state.Header)


class ForecastRecovery:
    """The changelog of one partition, read from its beginning."""

    def __init__(self) -> None:
        self.generation = 0
        self.mark = _NOTHING
        self._entries: dict[bytes, bytes] = {}

    def on_entry(self, key: bytes, value: bytes | None) -> None:
        """Take in the next record."""
        if value is None:
            self._entries.pop(key, None)
        elif key == OWNER_KEY:
            self._see(_generations.decode(value))
        else:
            self._entries[key] = value
            if key.endswith(f"|{MARK}".encode()):
                self._on_mark(value)

    def memory(self) -> Memory | None:
        """Return what was known at the mark beside the learners; ``None`` if it is damaged."""
        if self.mark.number < 0:
            return Memory()
        keys = _memory_keys(self.mark)
        body = b"".join(self._entries.get(key, b"") for key in keys)
        try:
            return codec.decode(_memories, body) if zlib.crc32(body) == self.mark.crc else None
        except BadRecordError:
            return None

    def learner(self, interval: Interval, horizons: Sequence[int]) -> tuple[Learner, bool]:
        """Return a learner as it was at the mark, and whether the mark's very snapshot was there.

        If not, the learner is a new one. Of an interval that the mark does not speak of there is
        nothing to miss.
        """
        learner = Learner(interval, horizons)
        number = self.mark.numbers.get(interval, -1)
        if number < 0:
            return learner, True
        snapshots, prefix = state.Recovery(), _prefix(self.mark.generation)
        begin = prefix + f"{interval}|".encode()
        for key, value in self._entries.items():
            if key.startswith(begin) and _is_part(key, value, number):
                snapshots.on_entry(key.removeprefix(prefix), value)
        return learner, snapshots.learner(learner) is not None

    def older(self, generation: int) -> list[bytes]:
        """Return the keys of what owners before ``generation`` have written."""
        return [key for key in self._entries if not key.startswith(_prefix(generation))]

    def _on_mark(self, value: bytes) -> None:
        try:
            mark = codec.decode(_marks, value)
        except BadRecordError:
            return  # of a version that wrote it otherwise
        self._see(mark.generation)
        if mark.generation >= self.mark.generation:
            self.mark = mark

    def _see(self, generation: int) -> None:
        self.generation = max(self.generation, generation)


class ForecastChangelog:
    """Writes the changelog of one owner: snapshots first, then what speaks of them."""

    def __init__(self, generation: int, older: Sequence[bytes]) -> None:
        self._generation = generation
        self._older = older
        self._number = -1
        self._numbers: dict[Interval, int] = {}

    def is_written(self, interval: Interval) -> bool:
        """Return whether this owner has written a snapshot of ``interval``."""
        return interval in self._numbers

    def entries(
        self, learners: Mapping[Interval, Learner], memory: Memory, applied: tuple[int, int]
    ) -> Iterator[Entry]:
        """Yield the records of ``learners`` that changed and of a mark that names them.

        ``applied`` is the partition and the last offset that all of it contains.
        """
        partition, offset = applied
        for interval, learner in learners.items():
            number = self._numbers[interval] = self._numbers.get(interval, -1) + 1
            stamp = state.Stamp(number=number, applied={str(partition): offset})
            for key, value in state.entries(learner, stamp):
                yield _prefix(self._generation) + key, value
        yield from self._mark(memory, offset)
        for key in self._older:
            yield key, None
        self._older = ()

    def _mark(self, memory: Memory, offset: int) -> Iterator[Entry]:
        body, size = codec.encode(memory), state.MAX_CHUNK_BYTES
        self._number += 1
        mark = Mark(
            generation=self._generation,
            offset=offset,
            number=self._number,
            numbers=self._numbers,
            chunks=-(-len(body) // size),
            crc=zlib.crc32(body),
        )
        for place, key in enumerate(_memory_keys(mark)):
            yield key, body[place * size : (place + 1) * size]
        yield _prefix(self._generation) + MARK.encode(), codec.encode(mark)


def _prefix(generation: int) -> bytes:
    return f"{generation}|".encode()


def _memory_keys(mark: Mark) -> list[bytes]:
    """Return where the memory of ``mark`` is; marks take turns at two places."""
    place = mark.number % state.PLACES
    return [f"{mark.generation}|{MARK}|{place}|{chunk}".encode() for chunk in range(mark.chunks)]


def _is_part(key: bytes, value: bytes, number: int) -> bool:
    """Return whether a record is a chunk, or the header of the snapshot of this number."""
    if key.count(b"|") > 2:
        return True
    try:
        return codec.decode(_headers, value).stamp.number == number
    except BadRecordError:
        return False
