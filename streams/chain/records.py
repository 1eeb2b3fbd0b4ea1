"""What the topics of chains hold: logs, the blocks a follower has finished, names of markets."""

from typing import Any

import msgspec

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


class Owner(msgspec.Struct, frozen=True, kw_only=True, tag="owner"):
    """A follower takes the chain over; ``writer`` tells two of the same epoch apart.

    ``contracts`` are those it watches, each with the first block from which on all is written.
    Of the ``rebuilt`` ones the trades of these blocks, first to last, are to be written anew.
    For each of them that makes others ``families`` has the block from which on those are watched.
    """

    chain: str
    epoch: int
    writer: str
    contracts: dict[str, int] = {}
    rebuilt: dict[str, tuple[int, int]] = {}
    families: dict[str, int] = {}
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
BlockMessage = Owner | BlockEnd | Undo | Final | Released | Synced | Alive
