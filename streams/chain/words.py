"""One word of a log, 32 bytes, as a plain value; and what eth_abi returns, as plain values."""

import re
from collections.abc import Callable
from typing import Any, Final

Plain = str | int | bool | list[Any] | dict[str, Any]
WIDEST_NUMBER: Final = 48  # bits: wider integers are decimal strings, as JavaScript has no such
_INTEGER: Final = re.compile(r"(u?)int(\d{0,3})")
_BYTES: Final = re.compile(r"bytes(\d{1,2})")
_ARRAY: Final = re.compile(r"(.*)\[\d*\]")
_NO_BYTES: Final = bytes(32)


def reader_of(kind: str) -> Callable[[bytes], Plain] | None:
    """Return the function that reads a word as ``kind``; None if ``kind`` is not one word.

    >>> reader_of("int24")(bytes([255]) * 32), reader_of("uint256")(bytes(31) + bytes([5]))
    (-1, '5')
    >>> reader_of("string") is None
    True
    """
    if kind == "address":
        return _address
    if kind == "bool":
        return _bool
    if match := _INTEGER.fullmatch(kind):
        bits = int(match[2] or 256)
        return _unsigned(bits) if match[1] else _signed(bits)
    if match := _BYTES.fullmatch(kind):
        return _fixed(int(match[1]))
    return None


def plain_of(one: dict[str, Any], value: Any) -> Plain:  # noqa: ANN401  eth_abi's values
    """Return a value of eth_abi for the input ``one``: tuples as objects, bytes in hexadecimal."""
    kind: str = one["type"]
    if match := _ARRAY.fullmatch(kind):
        inner = {**one, "type": match[1]}
        return [plain_of(inner, item) for item in value]
    if kind == "tuple":
        parts = zip(one["components"], value, strict=True)
        return {p.get("name") or f"arg{n}": plain_of(p, v) for n, (p, v) in enumerate(parts)}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if match := _INTEGER.fullmatch(kind):
        return str(value) if int(match[2] or 256) > WIDEST_NUMBER else int(value)
    return bool(value) if kind == "bool" else str(value)


def _address(word: bytes) -> str:
    if word[:12] != _NO_BYTES[:12]:
        raise ValueError("an address has more than 20 bytes")
    return "0x" + word[12:].hex()


def _bool(word: bytes) -> bool:
    n = int.from_bytes(word)
    if n > 1:
        raise ValueError("a bool is neither 0 nor 1")
    return n == 1


def _unsigned(bits: int) -> Callable[[bytes], Plain]:
    if bits == 256:
        return lambda word: str(int.from_bytes(word))
    end = 1 << bits

    def read(word: bytes) -> Plain:
        n = int.from_bytes(word)
        if n >= end:
            raise ValueError(f"a uint{bits} is {n}")
        return n if bits <= WIDEST_NUMBER else str(n)

    return read


def _signed(bits: int) -> Callable[[bytes], Plain]:
    end = 1 << (bits - 1)

    def read(word: bytes) -> Plain:
        n = int.from_bytes(word, signed=True)
        if not -end <= n < end:
            raise ValueError(f"an int{bits} is {n}")
        return n if bits <= WIDEST_NUMBER else str(n)

    return read


def _fixed(size: int) -> Callable[[bytes], Plain]:
    def read(word: bytes) -> Plain:
        if word[size:] != _NO_BYTES[size:]:
            raise ValueError(f"more than {size} bytes")
        return "0x" + word[:size].hex()

    return read
