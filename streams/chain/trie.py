"""The hash of a list as Ethereum takes it: a trie of its items, each under its number.

How the trie branches depends on the number of items alone, so that is worked out once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from chaintide.streams.chain.keccak import keccak
from chaintide.streams.chain.rlp import joined, string

_EMPTY: Final = b"\x80"
_WORD: Final = 32
_Key = tuple[bytes, int]  # nibbles, and which item it is of


def trie_root(items: Sequence[bytes]) -> bytes:
    """Return the root of the trie of ``items``.

    >>> trie_root([]).hex()[:16]
    '56e81f171bcc55a6'
    """
    return keccak(_shape(len(items)).encode(items) if items else _EMPTY)


@dataclass(frozen=True, slots=True)
class _Leaf:
    path: bytes
    place: int

    def encode(self, items: Sequence[bytes]) -> bytes:
        body = self.path + string(items[self.place])
        return joined(body)


@dataclass(frozen=True, slots=True)
class _Extension:
    path: bytes
    below: "_Node"

    def encode(self, items: Sequence[bytes]) -> bytes:
        body = self.path + _reference(self.below, items)
        return joined(body)


@dataclass(frozen=True, slots=True)
class _Branch:
    below: tuple["_Node | None", ...]

    def encode(self, items: Sequence[bytes]) -> bytes:
        parts = [_EMPTY if node is None else _reference(node, items) for node in self.below]
        body = b"".join([*parts, _EMPTY])  # no key is the beginning of another
        return joined(body)


_Node = _Leaf | _Extension | _Branch


def _reference(node: _Node, items: Sequence[bytes]) -> bytes:
    raw = node.encode(items)
    return raw if len(raw) < _WORD else b"\xa0" + keccak(raw)


@lru_cache(maxsize=512)
def _shape(count: int) -> _Node:
    keys = [(_nibbles(string(n.to_bytes((n.bit_length() + 7) // 8))), n) for n in range(count)]
    return _node(sorted(keys), 0)


def _node(keys: Sequence[_Key], depth: int) -> _Node:
    """Return the node of ``keys``, which agree up to ``depth``."""
    first, place = keys[0]
    if len(keys) == 1:
        return _Leaf(string(_path(first[depth:], 2)), place)
    last, shared = keys[-1][0], depth
    while shared < len(first) and first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return _Extension(string(_path(first[depth:shared], 0)), _node(keys, shared))
    branches: list[list[_Key]] = [[] for _ in range(16)]
    for key in keys:
        branches[key[0][depth]].append(key)
    return _Branch(tuple(_node(inside, depth + 1) if inside else None for inside in branches))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _path(nibbles: bytes, flag: int) -> bytes:
    """Return a part of a key, two nibbles a byte; ``flag`` 2 is for its end."""
    whole = [flag + 1, *nibbles] if len(nibbles) % 2 else [flag, 0, *nibbles]
    return bytes(high << 4 | low for high, low in zip(whole[::2], whole[1::2], strict=True))
