"""What the two chain topics hold: logs of contracts, and the blocks a follower has finished."""

from typing import Any

import msgspec

from chaintide.streams.records import SCHEMA_VERSION, Final, Undo


class ChainLog(msgspec.Struct, frozen=True, kw_only=True, tag="log"):
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
    """A follower takes the chain over; ``writer`` tells two of the same epoch apart."""

    chain: str
    epoch: int
    writer: str
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


ChainMessage = ChainLog | Undo | Head | Final
BlockMessage = Owner | BlockEnd | Undo | Final
