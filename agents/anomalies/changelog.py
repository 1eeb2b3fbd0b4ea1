"""What a partition of anomalies is rebuilt from: the course of each market, and of its chains."""

from typing import Final, TypeVar

import msgspec

from chaintide.agents.anomalies.market import Course
from chaintide.agents.changelog import Entry, Mark
from chaintide.streams import codec
from chaintide.streams.records import Market
from chaintide.streams.topics import CHAIN, TRADES, Topic

Of = tuple[Market, str | None]
SCOPES: Final[dict[Topic, str]] = {TRADES: "trades", CHAIN: "events"}
_OWNER: Final = "owner"
_MARK: Final = "mark"
_COURSE: Final = "course"


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """A course after the input at ``offset`` was applied."""

    generation: int
    offset: int
    course: Course


_saved: Final = msgspec.json.Decoder(Saved)
_marks: Final = msgspec.json.Decoder(Mark)
_generations: Final = msgspec.json.Decoder(int)
_Versioned = TypeVar("_Versioned", Saved, Mark)


class AnomalyRecovery:
    """The changelog of one partition of ``source``, read from its beginning.

    Trades and events of contracts share the topic, each below keys of their own.
    """

    def __init__(self, source: Topic) -> None:
        self.generation = 0
        self.courses: dict[Of, Saved] = {}
        self.chains: dict[str, Mark] = {}
        self._scope = SCOPES[source]

    def on_entry(self, key: bytes, value: bytes | None) -> None:
        """Take in the next record."""
        scope, kind, *rest = key.decode().split("|", 2)
        if value is None or scope != self._scope:
            return
        if kind == _OWNER:
            self.generation = max(self.generation, _generations.decode(value))
        elif kind == _MARK:
            self.chains[rest[0]] = self._newer(self.chains.get(rest[0]), _marks.decode(value))
        else:
            market, _, event = rest[0].rpartition("|")  # names of streams may be anything
            of = (Market(market), event or None)
            self.courses[of] = self._newer(self.courses.get(of), _saved.decode(value))

    def _newer(self, old: _Versioned | None, new: _Versioned) -> _Versioned:
        self.generation = max(self.generation, new.generation)
        if old is None or (old.generation, old.offset) <= (new.generation, new.offset):
            return new
        return old


def owner_entry(source: Topic, generation: int) -> Entry:
    """Return the record with which a new owner of the partition announces itself."""
    return f"{SCOPES[source]}|{_OWNER}".encode(), codec.encode(generation)


def mark_entry(source: Topic, chain: str, mark: Mark) -> Entry:
    """Return the record of what is known of ``chain``."""
    return f"{SCOPES[source]}|{_MARK}|{chain}".encode(), codec.encode(mark)


def course_entry(source: Topic, of: Of, saved: Saved) -> Entry:
    """Return the record of a market, or of one kind of event of a contract."""
    market, event = of
    key = f"{SCOPES[source]}|{_COURSE}|{market}|{event or ''}"
    return key.encode(), codec.encode(saved)
