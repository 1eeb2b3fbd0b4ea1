"""The blocks of one chain that may still be undone, above the last final one."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from chaintide.streams.errors import FatalError

MAX_BLOCKS: Final = 20_000  # more than the depth at which any chain is final


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A finished block, and the contracts that factories made in it."""

    number: int
    hash: str
    parent_hash: str
    time_ms: int
    children: dict[str, str] = {}


class Window:
    """Finished blocks, each the parent of the next; the first is final if ``final`` says so.

    ``final`` is the number of the last final block, -1 while there is none. At 20,000 blocks the
    window is full: nothing is added until the chain makes some of them final.
    """

    def __init__(self) -> None:
        self.final = -1
        self._blocks: list[Seen] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[Seen]:
        return iter(self._blocks)

    @property
    def first(self) -> Seen | None:
        """The oldest block that is remembered."""
        return self._blocks[0] if self._blocks else None

    @property
    def last(self) -> Seen | None:
        """The newest finished block."""
        return self._blocks[-1] if self._blocks else None

    @property
    def is_full(self) -> bool:
        """Return whether no block can be added."""
        return len(self._blocks) >= MAX_BLOCKS

    def number_of(self, block_hash: str) -> int | None:
        """Return the number of the block with this hash, if it is here."""
        return self._numbers.get(block_hash)

    def at(self, number: int) -> Seen | None:
        """Return the block of this number, if it is here."""
        place = number - self._blocks[0].number if self._blocks else -1
        return self._blocks[place] if 0 <= place < len(self._blocks) else None

    def push(self, block: Seen) -> None:
        """Add the block that follows the last one.

        Raises:
            FatalError: If it does not follow.
        """
        last = self.last
        if last and (block.number, block.parent_hash) != (last.number + 1, last.hash):
            raise FatalError(f"block {block.number} {block.hash} does not follow {last.number}")
        self._blocks.append(block)
        self._numbers[block.hash] = block.number

    def restart(self, block: Seen) -> None:
        """Forget everything before ``block``, which is final."""
        self.replace([block], block.number)

    def replace(self, blocks: Sequence[Seen], final: int) -> None:
        """Forget everything but ``blocks``, the first of which is ``final`` if that is not -1."""
        self._blocks, self._numbers = [*blocks], {block.hash: block.number for block in blocks}
        self.final = final

    def cut(self, to_number: int) -> None:
        """Take out every block above ``to_number``.

        Raises:
            FatalError: If one of them is final.
        """
        if to_number < self.final:
            raise FatalError(f"undo to {to_number} is below the final block {self.final}")
        while self._blocks and self._blocks[-1].number > to_number:
            del self._numbers[self._blocks.pop().hash]

    def finalize(self, number: int) -> None:
        """Make ``number`` the last final block and forget those before it."""
        self.final = max(self.final, number)
        while self._blocks and self._blocks[0].number < min(self.final, self._blocks[-1].number):
            del self._numbers[self._blocks.pop(0).hash]
