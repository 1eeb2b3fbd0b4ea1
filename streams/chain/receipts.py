"""The receipts of a block and the hash its header has of them: no log can be missing or changed."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from eth_hash.auto import keccak

from chaintide.streams.chain.blocks import RawLog
from chaintide.streams.errors import BadRecordError

_Items = list[tuple[bytes, bytes]]  # keys as nibbles, sorted, each with its value


class RawReceipt(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One receipt as a node tells it; ``root`` instead of ``status`` before Byzantium."""

    cumulative_gas_used: str
    logs_bloom: str
    logs: list[RawLog]
    type: str = "0x0"
    status: str | None = None
    root: str | None = None


_Receipts = list[RawReceipt] | None
_receipts: msgspec.json.Decoder[_Receipts] = msgspec.json.Decoder(_Receipts)


def receipts_in(answer: bytes | msgspec.Raw) -> list[RawReceipt] | None:
    """Return the receipts in a node's answer, None if it says null.

    >>> receipts_in(b"[]"), receipts_in(b"null")
    ([], None)

    Raises:
        BadRecordError: If they are none.
    """
    try:
        return _receipts.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
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


def _receipt(receipt: RawReceipt) -> bytes:
    """Return a receipt in RLP, put together as text so that it is turned into bytes once."""
    outcome = _text(receipt.root[2:]) if receipt.root else _numeral(receipt.status or "0x0")
    logs = "".join([_log(log) for log in receipt.logs])
    body = f"{outcome}{_numeral(receipt.cumulative_gas_used)}{_text(receipt.logs_bloom[2:])}"
    body = f"{body}{_header(0xC0, len(logs) // 2)}{logs}"
    text = _header(0xC0, len(body) // 2) + body
    if kind := int(receipt.type, 16):
        text = f"{kind:02x}{text}"
    raw = bytes.fromhex(text)
    if len(raw) * 2 != len(text):
        raise ValueError("not hexadecimal")
    return raw


def _log(log: RawLog) -> str:
    topics = "".join(
        ["a0" + each[2:] if len(each) == 66 else _text(each[2:]) for each in log.topics]
    )
    address, listed = _text(log.address[2:]), _header(0xC0, len(topics) // 2)
    body = f"{address}{listed}{topics}{_text(log.data[2:])}"
    return _header(0xC0, len(body) // 2) + body


def _text(digits: str) -> str:
    """Return the RLP of the bytes that ``digits`` write."""
    if len(digits) == 2 and digits < "80":
        return digits
    return _header(0x80, len(digits) // 2) + digits


def _numeral(text: str) -> str:
    return _number(int(text, 16)).hex()


@lru_cache(maxsize=65_536)
def _header(kind: int, size: int) -> str:
    """Return what stands before ``size`` bytes: ``kind`` 0x80 for a string, 0xC0 for a list."""
    return _head(kind, size).hex()


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
