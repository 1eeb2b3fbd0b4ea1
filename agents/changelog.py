"""How the state of a partition is written to the changelog and rebuilt from it.

One hot record per market holds everything that changes, so it changes in one atomic write.
Frozen windows have records of their own, written before the hot record that no longer holds
them. What is known of a chain comes last, after every market that has applied it. Every record
carries the generation of its writer: on recovery the highest (generation, offset) of a key wins,
so a stale owner's late write does not.
"""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from chaintide.agents.book import Book, Rules
from chaintide.agents.candles import CandleLogic
from chaintide.agents.shelf import Shelf
from chaintide.agents.windows import Window
from chaintide.streams.records import Market

Entry = tuple[bytes, bytes | None]
_SEPARATOR = b"|"
OWNER_KEY = b"|owner"
CHAIN_KEY = b"|chain|"


class Hot(msgspec.Struct, array_like=True, frozen=True):
    """A market's state after the input at ``offset`` was applied."""

    generation: int
    offset: int
    book: Book
    windows: list[list[Window]]


class Cold(msgspec.Struct, array_like=True, frozen=True):
    """One frozen window."""

    generation: int
    offset: int
    window: msgspec.Raw


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """What a partition knows of one chain: its follower's epoch and its last final block."""

    generation: int = 0
    offset: int = -1
    epoch: int = 0
    final: int = -1


_Record = TypeVar("_Record", Hot, Cold, Mark)
_encode = msgspec.json.Encoder().encode
_hot = msgspec.json.Decoder(Hot)
_generation = msgspec.json.Decoder(int)
_cold = msgspec.json.Decoder(Cold)
_mark = msgspec.json.Decoder(Mark)


def entries(logic: CandleLogic, generation: int, offset: int) -> list[Entry]:
    """Return the records that bring the changelog up to ``offset``, in the order to write."""
    shelf, market = logic.shelf, logic.market
    written: list[Entry] = []
    for level, open_us, window in shelf.freeze(logic.book.closed_us):
        cold = Cold(generation, offset, msgspec.Raw(window))
        written.append((_cold_key(market, level, open_us), _encode(cold)))
    windows = [list(hot.values()) for hot in shelf.hot]
    written.append((market.encode(), _encode(Hot(generation, offset, logic.book, windows))))
    written += [(_cold_key(market, *gone), None) for gone in shelf.dropped()]
    return written


def owner(generation: int) -> Entry:
    """Return the record with which a new owner of the partition announces itself."""
    return OWNER_KEY, _encode(generation)


def chain_entry(chain: str, mark: Mark) -> Entry:
    """Return the record of what is known of ``chain``."""
    return CHAIN_KEY + chain.encode(), _encode(mark)


class Recovery:
    """The changelog of one partition, read from its beginning."""

    def __init__(self) -> None:
        self.generation = 0
        self.chains: dict[str, Mark] = {}
        self._hot: dict[Market, Hot] = {}
        self._cold: dict[Market, dict[tuple[int, int], Cold]] = {}

    def on_entry(self, key: bytes, value: bytes | None) -> None:
        """Take in the next record."""
        if key == OWNER_KEY and value is not None:
            self._see(_generation.decode(value))
            return
        if key.startswith(CHAIN_KEY) and value is not None:
            chain, mark = key[len(CHAIN_KEY) :].decode(), _mark.decode(value)
            self._see(mark.generation)
            self.chains[chain] = _newer(self.chains.get(chain), mark)
            return
        name, _, place = key.partition(_SEPARATOR)
        market = Market(name.decode())
        if place:
            level, open_us = map(int, place.split(_SEPARATOR))
            shelf = self._cold.setdefault(market, {})
            if value is None:
                shelf.pop((level, open_us), None)
            else:
                cold = _cold.decode(value)
                self._see(cold.generation)
                shelf[level, open_us] = _newer(shelf.get((level, open_us)), cold)
        elif value is not None:
            hot = _hot.decode(value)
            self._see(hot.generation)
            self._hot[market] = _newer(self._hot.get(market), hot)

    def _see(self, generation: int) -> None:
        self.generation = max(self.generation, generation)

    def markets(self, rules: Rules) -> Iterable[tuple[CandleLogic, int]]:
        """Yield every market's logic and the offset of the last input it has applied."""
        for market, hot in self._hot.items():
            shelf = Shelf()
            for level, windows in enumerate(hot.windows):
                shelf.hot[level] = {window.open_us: window for window in windows}
            for (level, open_us), cold in self._cold.get(market, {}).items():
                if _is_wanted(hot.book, cold, level, open_us) and open_us not in shelf.hot[level]:
                    shelf.frozen[level][open_us] = bytes(cold.window)
            yield CandleLogic(market, rules, hot.book, shelf), hot.offset


def _is_wanted(book: Book, cold: Cold, level: int, open_us: int) -> bool:
    """Return whether a frozen window counts: not once it is final, nor from before a rebuild."""
    if book.before is not None and (cold.generation, cold.offset) < book.before.place:
        return False
    return book.final_us[level] <= open_us < book.closed_us[level]


def _newer(old: _Record | None, new: _Record) -> _Record:
    return (
        new if old is None or (old.generation, old.offset) <= (new.generation, new.offset) else old
    )


def _cold_key(market: Market, level: int, open_us: int) -> bytes:
    return f"{market}|{level}|{open_us}".encode()
