"""What the topics of chains hold: logs, the blocks a follower has finished, names of markets."""

from typing import Any

import msgspec

from chaintide.streams.chain.window import Seen
from chaintide.streams.records import SCHEMA_VERSION, Final, Market, Undo


class ChainLog(msgspec.Struct, frozen=True, kw_only=True, tag="log", gc=False):
    """One log of a watched contract, identified by (``chain``, ``block_hash``, ``log_index``).

    ``args`` are the decoded arguments of ``event``: integers wider than 48 bits as decimal
    strings, bytes as hexadecimal. A log that cannot be decoded has no event; ``topics`` and
    ``data`` are then as the node gave them, and ``note`` says why. ``stream`` is the contract, or
    the pool of a contract that holds many.
    """

    chain: str
    number: int
    block_hash: str
    time_ms: int
    log_index: int
    tx_hash: str
    tx_index: int
    address: str
    stream: str
    event: str | None
    args: dict[str, Any] = {}
    topics: list[str] = []
    data: str = ""
    note: str = ""
    epoch: int = 0
    v: int = SCHEMA_VERSION


class Head(msgspec.Struct, frozen=True, kw_only=True, tag="head"):
    """Every log of ``chain`` up to block ``number`` has been written to this partition."""

    chain: str
    number: int
    block_hash: str
    time_ms: int
    epoch: int
    v: int = SCHEMA_VERSION


class Family(msgspec.Struct, frozen=True):
    """What a contract makes that is watched: from block ``since`` on, found in ``factories`` ways.

    Of each way there is a digest. A contract that makes nothing has none of them.
    """

    since: int = 0
    factories: tuple[str, ...] = ()


class Span(msgspec.Struct, frozen=True):
    """Blocks that are written of a contract, with what it made as far as ``family`` knew it."""

    first: int
    last: int
    family: Family


class Owner(msgspec.Struct, frozen=True, kw_only=True, tag="owner"):
    """A follower takes the chain over; ``writer`` tells two of the same epoch apart.

    ``contracts`` are those it watches, each with the first block from which on all is written.
    For each of them ``makes`` says what it makes that is watched too. Of the ``rebuilt`` ones the
    trades of these blocks, first to last, are to be written anew.
    """

    chain: str
    epoch: int
    writer: str
    contracts: dict[str, int] = {}
    rebuilt: dict[str, tuple[int, int]] = {}
    makes: dict[str, Family] = {}
    v: int = SCHEMA_VERSION


class Released(msgspec.Struct, frozen=True, kw_only=True, tag="released"):
    """The owner of ``epoch`` has ended; whoever stands by may have the chain at once."""

    chain: str
    epoch: int
    v: int = SCHEMA_VERSION


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """The owner of ``epoch`` is still there, and has had nothing else to write for a while."""

    chain: str
    epoch: int
    v: int = SCHEMA_VERSION


class Summary(msgspec.Struct, frozen=True, kw_only=True, tag="summary"):
    """All that the block log has said so far, from its owner: older records may be forgotten.

    ``contracts`` and ``makes`` are as in ``Owner``, ``spans`` the blocks written before those, and
    ``blocks`` the ones that may still be undone, above the last ``final`` one. ``written_ms`` is
    the clock of the owner.
    """

    chain: str
    epoch: int
    writer: str
    written_ms: int
    contracts: dict[str, int]
    makes: dict[str, Family]
    spans: dict[str, list[Span]]
    final: int
    blocks: list[Seen]
    v: int = SCHEMA_VERSION


class Synced(msgspec.Struct, frozen=True, kw_only=True, tag="synced"):
    """The history of the contract ``address`` is written for the blocks ``first`` to ``last``."""

    chain: str
    address: str
    first: int
    last: int
    epoch: int
    v: int = SCHEMA_VERSION


class BlockEnd(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """Everything up to block ``number`` is written and acknowledged: the follower's checkpoint.

    ``children`` are the contracts that factories made in this block, each with its kind.
    """

    chain: str
    number: int
    block_hash: str
    parent_hash: str
    time_ms: int
    logs: int
    children: dict[str, str] = {}
    epoch: int
    v: int = SCHEMA_VERSION


class Alias(msgspec.Struct, frozen=True, kw_only=True, tag="alias"):
    """What people call a market of a chain, and its two tokens with their decimals.

    Tokens choose their symbols themselves: neither ``name`` nor symbols are proof of anything.
    """

    market: Market
    name: str
    base: str
    quote: str
    base_token: str
    quote_token: str
    base_scale: int
    quote_scale: int
    v: int = SCHEMA_VERSION


ChainMessage = ChainLog | Undo | Head | Final
BlockMessage = Owner | BlockEnd | Undo | Final | Released | Synced | Alive | Summary


def writer_of(record: BlockMessage) -> str:
    """Return who wrote ``record``, "" if it does not say so."""
    return record.writer if isinstance(record, Owner | Summary) else ""
