"""One word of a log, 32 bytes, as a plain value; and what eth_abi returns, as plain values."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

Plain = str | int | bool | list[Any] | dict[str, Any]
WIDEST_NUMBER: Final = 48  # bits: wider integers are decimal strings, as JavaScript has no such
Quick = Callable[[Sequence[str], str], dict[str, Plain] | None]
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


def compiled(names: Sequence[str], kinds: Sequence[str], topics: int) -> Quick | None:
    """Return a function that reads a log in one go; None if a kind is not one it knows.

    The first ``topics`` words are in topics, the others in the data. It returns None for whatever
    is not plainly right, so that somebody slower can say what is wrong.

    >>> read = compiled(["to", "value"], ["address", "uint256"], 1)
    >>> read(["0x", "0x" + "00" * 12 + "ab" * 20], "0x" + "00" * 31 + "07")["value"]
    '7'
    """
    reads = [_source(kind, 32 * place) for place, kind in enumerate(kinds)]
    if any(read is None for read in reads):
        return None
    named = [f"t{place}" for place in range(topics)]
    checks = [f"len({t}) != 66 or {t}[:2] != '0x'" for t in named]
    checks += ["data[:2] != '0x'"]
    rules = [rule for _, found in filter(None, reads) for rule in found]
    values = [value for value, _ in filter(None, reads)]
    pairs = ", ".join(f"{name!r}: {value}" for name, value in zip(names, values, strict=True))
    text = " + ".join(f"{each}[2:]" for each in (*named, "data"))
    lines = [
        "def read(topics, data):",
        f" {', '.join(('_', *named))}, = topics",
        f" if {' or '.join(checks)}: return None",
        f" text = {text}",
        " try: raw = fromhex(text)",
        " except ValueError: return None",
        f" if len(raw) * 2 != len(text) or len(raw) < {32 * len(kinds)}: return None",
        *(f" if {rule}: return None" for rule in rules),
        f" return {{{pairs}}}",
    ]
    scope: dict[str, Any] = {"fromhex": bytes.fromhex, "number": int.from_bytes, "ZEROS": bytes(32)}
    exec("\n".join(lines), scope)  # noqa: S102  nothing in it is from outside but quoted names
    read: Quick = scope["read"]
    return read


def _source(kind: str, at: int) -> tuple[str, list[str]] | None:
    """Return the expression of a word at ``at``, and what must not be."""
    word = f"raw[{at}:{at + 32}]"
    if kind == "address":
        return f"'0x' + raw[{at + 12}:{at + 32}].hex()", [f"raw[{at}:{at + 12}] != ZEROS[:12]"]
    if kind == "bool":
        return f"raw[{at + 31}] == 1", [f"raw[{at}:{at + 31}] != ZEROS[:31] or raw[{at + 31}] > 1"]
    if match := _INTEGER.fullmatch(kind):
        return _number_source(int(match[2] or 256), word, at, is_signed=not match[1])
    if match := _BYTES.fullmatch(kind):
        size = int(match[1])
        rules = [f"raw[{at + size}:{at + 32}] != ZEROS[{size}:]"] if size < 32 else []
        return f"'0x' + raw[{at}:{at + size}].hex()", rules
    return None


def _number_source(bits: int, word: str, at: int, *, is_signed: bool) -> tuple[str, list[str]]:
    if bits == 256:
        return f"str(number({word}, 'big', signed={is_signed}))", []
    name = f"n{at}"
    rule = f"({name} := number({word}, 'big', signed={is_signed})) >= {1 << (bits - is_signed)}"
    rules = [rule, f"{name} < -{1 << (bits - 1)}"] if is_signed else [rule]
    return name if bits <= WIDEST_NUMBER else f"str({name})", rules
