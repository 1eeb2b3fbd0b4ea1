"""The language of a contract: calls, results, logs and errors as Python values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

_ERROR_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Said:
    """What a contract said: the name of an event or error, and its arguments by name."""

    name: str
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever the ABI says
        return self.arguments[name]


class Interface:
    """What one ABI says. No overloaded functions, no tuples: our contracts have none."""

    def __init__(self, abi: Sequence[Mapping[str, Any]]) -> None:
        self._functions = {each["name"]: each for each in abi if each["type"] == "function"}
        self._events = {
            keccak(signature(each).encode()): each for each in abi if each["type"] == "event"
        }
        self._errors = {
            keccak(signature(each).encode())[:_ERROR_BYTES]: each
            for each in abi
            if each["type"] == "error"
        }
        made = [each for each in abi if each["type"] == "constructor"]
        self._constructor = types(made[0]["inputs"]) if made else []

    def call(self, function: str, *arguments: object) -> str:
        """Return the input of a transaction that calls ``function``."""
        entry = self._functions[function]
        selector = keccak(signature(entry).encode())[:4]
        return "0x" + (selector + encode(types(entry["inputs"]), arguments)).hex()

    def deployment(self, bytecode: str, *arguments: object) -> str:
        """Return the input of a transaction that deploys ``bytecode``."""
        return bytecode + encode(self._constructor, arguments).hex()

    def result(self, function: str, output: str) -> Any:  # noqa: ANN401 - whatever the ABI says
        """Return what a call of ``function`` returned: a value, or a tuple of several."""
        entry = self._functions[function]
        values = decode(types(entry["outputs"]), unhex(output))
        return values[0] if len(values) == 1 else values

    def log(self, topics: Sequence[str], data: str) -> Said | None:
        """Return the event of a log, or None if this ABI does not know it."""
        entry = self._events.get(unhex(topics[0])) if topics else None
        if entry is None:
            return None
        rest = iter(decode(types(_inputs(entry, indexed=False)), unhex(data)))
        keys = iter(topics[1:])
        return Said(
            entry["name"],
            {
                each["name"]: decode([each["type"]], unhex(next(keys)))[0]
                if each["indexed"]
                else next(rest)
                for each in entry["inputs"]
            },
        )

    def error(self, data: str) -> Said | None:
        """Return the error that ``data`` holds, or None if this ABI does not know it."""
        content = unhex(data)
        entry = self._errors.get(content[:_ERROR_BYTES])
        if entry is None:
            return None
        values = decode(types(entry["inputs"]), content[_ERROR_BYTES:])
        names = (each["name"] for each in entry["inputs"])
        return Said(entry["name"], dict(zip(names, values, strict=True)))


def signature(entry: Mapping[str, Any]) -> str:
    """Return what the hash of a function, event or error is made of.

    >>> signature({"name": "transfer", "inputs": [{"type": "address"}, {"type": "uint256"}]})
    'transfer(address,uint256)'
    """
    return f"{entry['name']}({','.join(types(entry['inputs']))})"


def types(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the types of arguments, in order."""
    return [each["type"] for each in inputs]


def unhex(text: str) -> bytes:
    """Return the bytes of a hexadecimal string with ``0x``.

    >>> unhex("0x6162")
    b'ab'
    """
    return bytes.fromhex(text.removeprefix("0x"))


def _inputs(entry: Mapping[str, Any], *, indexed: bool) -> list[Mapping[str, Any]]:
    return [each for each in entry["inputs"] if each["indexed"] is indexed]
