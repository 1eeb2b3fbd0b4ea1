"""One word of a log, 32 bytes, as a plain value; and what eth_abi returns, as plain values."""

import re
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

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
    words = [_word(kind, place) for place, kind in enumerate(kinds)]
    known = [word for word in words if word is not None]
    if len(known) < len(words):
        return None
    named = [f"t{place}" for place in range(topics)]
    checks = [f"len({t}) != 66 or {t}[:2] != '0x'" for t in named]
    checks += ["data[:2] != '0x'"]
    pairs = ", ".join(f"{name!r}: {word.value}" for name, word in zip(names, known, strict=True))
    text = "".join(f"{{{each}[2:]}}" for each in (*named, "data"))
    cut = "".join(f"{word.names}, " for word in known)
    lines = [
        "def read(topics, data):",
        f" {', '.join(('_', *named))}, = topics",
        f" if {' or '.join(checks)}: return None",
        f" text = f'{text}'",
        " try: raw = fromhex(text)",
        " except ValueError: return None",
        f" if len(raw) * 2 != len(text) or len(raw) < {32 * len(kinds)}: return None",
        f" {cut or '()'} = unpack(raw)",
        *(f" if {rule}: return None" for word in known for rule in word.rules),
        f" return {{{pairs}}}",
    ]
    unpack = Struct(">" + "".join(word.layout for word in known)).unpack_from
    scope: dict[str, Any] = {"fromhex": bytes.fromhex, "number": int.from_bytes, "unpack": unpack}
    exec("\n".join(lines), scope)  # noqa: S102  nothing in it is from outside but quoted names
    read: Quick = scope["read"]
    return read


class _Word(NamedTuple):
    """How a word is cut up into variables, the value they make, and what must not be."""

    layout: str
    names: str
    value: str
    rules: list[str]


def _word(kind: str, place: int) -> _Word | None:
    name, rest = f"w{place}", f"z{place}"
    if kind == "address":
        rules = [f"{rest} != {_NO_BYTES[:12]!r}"]
        return _Word("12s20s", f"{rest}, {name}", f"f'0x{{{name}.hex()}}'", rules)
    if kind == "bool":
        rules = [f"{rest} != {_NO_BYTES[:31]!r} or {name} > 1"]
        return _Word("31sB", f"{rest}, {name}", f"{name} == 1", rules)
    if match := _INTEGER.fullmatch(kind):
        bits = int(match[2] or 256)
        value, rules = (_unsigned_source if match[1] else _signed_source)(bits, name)
        return _Word("32s", name, value, rules)
    if match := _BYTES.fullmatch(kind):
        size = int(match[1])
        rules = [f"{rest} != {_NO_BYTES[size:]!r}"]
        return _Word(f"{size}s{32 - size}s", f"{name}, {rest}", f"f'0x{{{name}.hex()}}'", rules)
    return None


def _unsigned_source(bits: int, name: str) -> tuple[str, list[str]]:
    if bits == 256:
        return f"str(number({name}))", []
    rules = [f"({name} := number({name})) >= {1 << bits}"]
    return name if bits <= WIDEST_NUMBER else f"str({name})", rules


def _signed_source(bits: int, name: str) -> tuple[str, list[str]]:
    if bits == 256:  # two's complement by hand: naming an argument takes longer
        return f"str(n if (n := number({name})) < {1 << 255} else n - {1 << 256})", []
    end = 1 << (bits - 1)
    rules = [f"not {-end} <= ({name} := number({name}, 'big', signed=True)) < {end}"]
    return name if bits <= WIDEST_NUMBER else f"str({name})", rules
