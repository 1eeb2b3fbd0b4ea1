"""Logs decoded by functions that are built from ABIs once, at the start.

Where every argument fills one word, the usual case, words are cut out of the bytes; else eth_abi
decodes. Both refuse what the Solidity ABI forbids, and a refusal is a value.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from eth_abi.abi import decode as decode_abi
from eth_abi.exceptions import DecodingError

from chaintide.streams.chain.keccak import keccak
from chaintide.streams.chain.words import Plain, compiled, plain_of, reader_of
from chaintide.streams.errors import ConfigError

_WORD: Final = 32
_Read = Callable[[bytes], Plain]


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A log as its event; integers wider than 48 bits are decimal strings."""

    event: str
    args: dict[str, Plain]


class Undecoded(msgspec.Struct, frozen=True):
    """A log that no event of the ABI describes, and why."""

    note: str


class Event:
    """One event of an ABI."""

    def __init__(self, abi: dict[str, Any]) -> None:
        inputs = [_named(place, one) for place, one in enumerate(abi["inputs"])]
        self.name: str = abi["name"]
        self.signature = f"{self.name}({','.join(map(type_of, inputs))})"
        self.text = f"{self.name}({', '.join(map(_text, inputs))})"
        self.topic = "0x" + keccak(self.signature.encode()).hex()
        self.topics = 1 + sum(bool(one["indexed"]) for one in inputs)
        self._indexed: list[tuple[str, _Read]] = [
            (one["name"], reader_of(one["type"]) or _hex) for one in inputs if one["indexed"]
        ]
        rest = [one for one in inputs if not one["indexed"]]
        words = [(one["name"], reader_of(one["type"])) for one in rest]
        self._words = [(name, read) for name, read in words if read is not None]
        self._is_static = len(self._words) == len(rest)
        self._types = [type_of(one) for one in rest]
        self._rest = rest
        kinds = [one["type"] for one in inputs if one["indexed"]] + [one["type"] for one in rest]
        names = [name for name, _ in (*self._indexed, *self._words)]
        self.quick = compiled(names, kinds, self.topics - 1) if self._is_static else None

    def decode(self, topics: Sequence[str], data: str) -> dict[str, Plain]:
        """Return the arguments.

        Raises:
            ValueError: If they are not what the event says.
            DecodingError: The same.
        """
        args: dict[str, Plain] = {}
        for (name, read), topic in zip(self._indexed, topics[1:], strict=True):
            args[name] = read(_bytes(topic, _WORD))
        raw = _bytes(data)
        if self._is_static:
            at = 0
            for name, read in self._words:
                word = raw[at : at + _WORD]
                if len(word) != _WORD:
                    raise ValueError(f"{len(raw)} bytes of data are too few")
                args[name] = read(word)
                at += _WORD
            return args
        for one, value in zip(self._rest, decode_abi(self._types, raw), strict=True):
            args[one["name"]] = plain_of(one, value)
        return args


class Events:
    """The events of one ABI, found by their first topic and the number of topics.

    >>> transfer = {"type": "event", "name": "Transfer", "inputs": [
    ...     {"name": "to", "type": "address", "indexed": True},
    ...     {"name": "value", "type": "uint256", "indexed": False}]}
    >>> to, value = "0x" + "0" * 64, "0x" + "0" * 63 + "7"
    >>> events = Events([transfer])
    >>> events.decode([next(iter(events.topics)), to], value).args["value"]
    '7'
    """

    def __init__(self, abi: Iterable[dict[str, Any]]) -> None:
        self._events: dict[tuple[str, int], Event] = {}
        for entry in abi:
            if entry.get("type") == "event" and not entry.get("anonymous", False):
                try:
                    event = Event(entry)
                except (KeyError, TypeError) as error:
                    raise ConfigError(f"not an event of an ABI: {entry!r} ({error!r})") from error
                self._events.setdefault((event.topic, event.topics), event)

    @property
    def topics(self) -> dict[str, str]:
        """The signature of each first topic."""
        return {topic: event.signature for (topic, _), event in self._events.items()}

    def written(self, name: str) -> list[str]:
        """Return the events of this name, each as Solidity writes it.

        >>> Events([{"type": "event", "name": "Made", "inputs": [
        ...     {"name": "what", "type": "address", "indexed": True}]}]).written("Made")
        ['Made(address indexed what)']
        """
        return sorted(event.text for event in self._events.values() if event.name == name)

    def decode(self, topics: Sequence[str], data: str) -> Decoded | Undecoded:
        """Return the event and arguments of a log, or why there are none. Never raises."""
        if not topics:
            return Undecoded("no topics")
        event = self._events.get((topics[0], len(topics)))
        if event is not None and event.quick is not None:
            args = event.quick(topics, data)
            if args is not None:
                return Decoded(event.name, args)
        if event is None:
            event = self._events.get((topics[0].lower(), len(topics)))
        if event is None:
            return Undecoded("unknown event")
        try:
            return Decoded(event.name, event.decode(topics, data))
        except (ValueError, DecodingError, OverflowError) as error:
            return Undecoded(f"not a {event.name}: {error}"[:200])


def type_of(one: dict[str, Any]) -> str:
    """Return the type of an input as signatures write it.

    >>> type_of({"type": "tuple[]", "components": [{"type": "uint256"}, {"type": "bool"}]})
    '(uint256,bool)[]'
    """
    kind: str = one["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(type_of(part) for part in one["components"])
    return f"({inner}){kind[len('tuple') :]}"


def _named(place: int, one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "name": one.get("name") or f"arg{place}"}


def _text(one: dict[str, Any]) -> str:
    return f"{type_of(one)}{' indexed' if one['indexed'] else ''} {one['name']}"


def _hex(word: bytes) -> str:
    return "0x" + word.hex()


def _bytes(text: str, size: int | None = None) -> bytes:
    raw = bytes.fromhex(text[2:])
    if not text.startswith("0x") or len(text) != 2 + 2 * len(raw) or size not in {None, len(raw)}:
        raise ValueError(f"not {size or 'some'} bytes: {text[:80]!r}")
    return raw
