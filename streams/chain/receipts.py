"""The receipts of a block and the hash its header has of them: no log can be missing or changed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from eth_hash.auto import keccak

from chaintide.streams.chain.blocks import RawLog
from chaintide.streams.errors import BadRecordError

_Items = list[tuple[bytes, bytes]]  # keys as nibbles, sorted, each with its value


class RawReceipt(msgspec.Struct, frozen=True, rename="camel"):
    """One receipt as a node tells it; ``root`` instead of ``status`` before Byzantium."""

    cumulative_gas_used: str
    logs_bloom: str
    logs: list[RawLog]
    type: str = "0x0"
    status: str | None = None
    root: str | None = None


def receipts_of(raw: Any) -> list[RawReceipt]:  # noqa: ANN401  JSON
    """Return the receipts in a node's answer.

    Raises:
        BadRecordError: If they are none.
    """
    try:
        return msgspec.convert(raw, list[RawReceipt])
    except msgspec.ValidationError as error:
        raise BadRecordError(f"not receipts: {error}") from error


def receipts_root(receipts: Sequence[RawReceipt]) -> str:
    """Return the root of the trie of all receipts of a block.

    >>> receipts_root([])
    '0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421'

    Raises:
        BadRecordError: If a receipt is not hexadecimal.
    """
    try:
        items = sorted((_nibbles(_number(n)), _receipt(r)) for n, r in enumerate(receipts))
    except ValueError as error:
        raise BadRecordError(f"not receipts: {error}") from error
    return "0x" + keccak(_node(items, 0) if items else _string(b"")).hex()


# --------------------------------------------------------------------------- RLP


def _string(raw: bytes) -> bytes:
    return raw if len(raw) == 1 and raw[0] < 0x80 else _head(0x80, len(raw)) + raw


def _list(items: Sequence[bytes]) -> bytes:
    payload = b"".join(items)
    return _head(0xC0, len(payload)) + payload


def _head(kind: int, size: int) -> bytes:
    if size < 56:
        return bytes((kind + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((kind + 55 + len(length),)) + length


def _number(n: int) -> bytes:
    return _string(n.to_bytes((n.bit_length() + 7) // 8))


def _hex(text: str) -> bytes:
    return _string(bytes.fromhex(text[2:]))


def _receipt(receipt: RawReceipt) -> bytes:
    outcome = _hex(receipt.root) if receipt.root else _number(int(receipt.status or "0x0", 16))
    body = _list(
        [
            outcome,
            _number(int(receipt.cumulative_gas_used, 16)),
            _hex(receipt.logs_bloom),
            _list([_log(log) for log in receipt.logs]),
        ]
    )
    kind = int(receipt.type, 16)
    return bytes((kind,)) + body if kind else body


def _log(log: RawLog) -> bytes:
    return _list([_hex(log.address), _list([_hex(topic) for topic in log.topics]), _hex(log.data)])


# -------------------------------------------------------------------------- trie


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _node(items: _Items, depth: int) -> bytes:
    """Return the node of ``items``, whose keys agree up to ``depth``."""
    first, value = items[0]
    if len(items) == 1:
        return _list([_string(_path(first[depth:], 2)), _string(value)])
    last, shared = items[-1][0], depth
    while shared < len(first) and first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return _list([_string(_path(first[depth:shared], 0)), _reference(_node(items, shared))])
    branches: list[_Items] = [[] for _ in range(16)]
    for item in items:
        branches[item[0][depth]].append(item)
    empty = _string(b"")
    below = [_reference(_node(inside, depth + 1)) if inside else empty for inside in branches]
    return _list([*below, empty])  # no key is the beginning of another


def _path(nibbles: bytes, flag: int) -> bytes:
    """Return a part of a key, two nibbles a byte; ``flag`` 2 is for its end."""
    whole = [flag + 1, *nibbles] if len(nibbles) % 2 else [flag, 0, *nibbles]
    return bytes(high << 4 | low for high, low in zip(whole[::2], whole[1::2], strict=True))


def _reference(node: bytes) -> bytes:
    return node if len(node) < 32 else _string(keccak(node))
