"""Blocks as a node tells them: headers and logs, parsed but not yet believed."""

from typing import Any, Final

import msgspec

from chaintide.streams.chain.seal import seal_of
from chaintide.streams.errors import BadRecordError

_MAX_NUMBER: Final = 2**43  # so that trade ids, made of block and log index, fit into 63 bits


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What of a block's header a follower needs.

    ``bloom`` is its logs bloom as an integer, ``receipts_root`` the hash of all that happened.
    ``sealed`` is the hash of all fields, which ``hash`` has to be; "" if they are not all known.
    """

    number: int
    hash: str
    parent_hash: str
    time_ms: int
    bloom: int = 0
    receipts_root: str = ""
    sealed: str = ""


class RawLog(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One log exactly as a node tells it: numbers and bytes are hexadecimal."""

    address: str
    topics: list[str]
    data: str
    block_hash: str
    block_number: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool = False

    @property
    def index(self) -> int:
        """The place of the log in its block."""
        return int(self.log_index, 16)


class _RawHeader(msgspec.Struct, frozen=True, rename="camel"):
    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str = "0x0"
    receipts_root: str = ""


def header_of(raw: Any) -> Header:  # noqa: ANN401  JSON
    """Return the header in a node's answer.

    >>> header_of({"number": "0x7", "hash": "0x" + "07" * 32, "parentHash": "0x" + "06" * 32,
    ...     "timestamp": "0x6546779f", "logsBloom": "0x0"}).time_ms
    1699116959000

    Raises:
        BadRecordError: If it is none.
    """
    try:
        told = msgspec.convert(raw, _RawHeader)
        header = Header(
            number=int(told.number, 16),
            hash=_hash(told.hash),
            parent_hash=_hash(told.parent_hash),
            time_ms=int(told.timestamp, 16) * 1000,
            bloom=int(told.logs_bloom, 16),
            receipts_root=told.receipts_root.lower(),
            sealed=seal_of(raw),
        )
    except (msgspec.ValidationError, ValueError) as error:
        raise BadRecordError(f"not a header: {error}") from error
    if not 0 <= header.number < _MAX_NUMBER or header.time_ms < 0:
        raise BadRecordError(f"not a header: number {header.number} time_ms {header.time_ms}")
    return header


def header_in(answer: bytes | msgspec.Raw) -> Header | None:
    """Return the header in a node's answer, None if it says null.

    >>> header_in(b"null") is None
    True

    Raises:
        BadRecordError: If it is none.
    """
    try:
        told = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordError(f"not a header: {error}") from error
    return None if told is None else header_of(told)


_logs: msgspec.json.Decoder[list[RawLog] | None] = msgspec.json.Decoder(list[RawLog] | None)


def logs_in(answer: bytes | msgspec.Raw) -> list[RawLog] | None:
    """Return the logs in a node's answer, None if it says null.

    >>> logs_in(b"[]"), logs_in(b"null")
    ([], None)

    Raises:
        BadRecordError: If they are none.
    """
    try:
        return _logs.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordError(f"not logs: {error}") from error


def _hash(text: str) -> str:
    if len(text) != 66 or not text.startswith("0x"):
        raise ValueError(f"hash {text[:80]!r}")
    return "0x" + bytes.fromhex(text[2:]).hex()
