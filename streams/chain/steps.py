"""What a follower asks of a node, and what it decides: values, so that they can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.window import Seen

_HINTS: Final = {
    "hash differs": "; if those of every node do, set has_hashes = false",
    "receipts differ": "; if those of every node do, set has_receipts = false",
}


@dataclass(frozen=True, slots=True)
class HeaderAt:
    """Which block has this number? ``again``: ask another endpoint than the last time."""

    number: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class HeaderOf:
    """Which block has this hash?"""

    hash: str


@dataclass(frozen=True, slots=True)
class LogsOf:
    """Which logs has this block, all of them?"""

    header: Header


Ask = HeaderAt | HeaderOf | LogsOf


@dataclass(frozen=True, slots=True)
class Apply:
    """The chain has grown by this block."""

    header: Header
    logs: Sequence[RawLog]


@dataclass(frozen=True, slots=True)
class ApplyRange:
    """The chain had these blocks; they are final, and ``end`` is the last of them.

    ``headers`` has all blocks that ``logs`` are from; the logs are only those asked for.
    """

    headers: Mapping[int, Header]
    logs: Sequence[RawLog]
    end: Header


@dataclass(frozen=True, slots=True)
class Retreat:
    """The chain took back everything above this block."""

    to_number: int


@dataclass(frozen=True, slots=True)
class Finalize:
    """The chain will never take back this block."""

    block: Seen


@dataclass(frozen=True, slots=True)
class Reject:
    """A node's answer cannot be true, or not yet: ask again, best elsewhere."""

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.detail}{_HINTS.get(self.reason, '')}"


@dataclass(frozen=True, slots=True)
class Halt:
    """The chain took back a final block. It is followed no further until a person decides."""

    reason: str


Step = Apply | ApplyRange | Retreat | Finalize | Reject | Halt
