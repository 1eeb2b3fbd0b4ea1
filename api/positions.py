"""What a client of ``/ws/v1`` remembers, so that it can resume: requests out, lines in, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from chaintide.streams.errors import ConfigError, RetryableError

EventType = Literal["snapshot", "update", "correction", "retraction"]
_EVENTS: Final = ("snapshot", "update", "correction", "retraction")
_FINAL_CODES: Final = frozenset({1003, 1007, 1008, 1009})


@dataclass(frozen=True, slots=True)
class Event:
    """What came in a channel.

    A ``snapshot`` is a list that stands for all there was before, an ``update`` or a
    ``correction`` what comes after it. A ``retraction`` says which trades of a chain are void.
    ``data`` is JSON as Python has it.
    """

    ch: str
    type: EventType
    seq: int
    data: Any


class RefusedError(ConfigError):
    """The server will not send what was asked for."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class _Place:
    """Where a channel stands; ``coming`` is the epoch of a snapshot that was announced."""

    epoch: str | None = None
    seq: int | None = None
    coming: str | None = None


@dataclass(slots=True)
class Positions:
    """The places of some channels in their log.

    >>> positions = Positions(["status"], snapshot=9)
    >>> positions.request()
    '{"id":1,"op":"subscribe","channels":[{"ch":"status","snapshot":9}]}'
    >>> result = '{"ch":"status","epoch":"k3f9","seq":7,"recovered":null}'
    >>> positions.on_line(f'{{"id":1,"ok":true,"results":[{result}]}}')
    >>> positions.on_line('{"ch":"status","type":"snapshot","seq":7,"data":[]}')
    Event(ch='status', type='snapshot', seq=7, data=[])
    >>> positions.request()[-36:]
    '"resume":{"epoch":"k3f9","seq":7}}]}'
    """

    channels: Sequence[str]
    snapshot: int
    retry_after_ms: tuple[int, int] | None = None
    _places: dict[str, _Place] = field(default_factory=dict[str, _Place])

    def request(self) -> str:
        """Return the request to begin a connection with."""
        wanted = []
        for channel in self.channels:
            place = self._places.setdefault(channel, _Place())
            begin: dict[str, Any] = {"ch": channel, "snapshot": self.snapshot}
            if channel.startswith("trades:"):  # no trade says what those before it said
                begin["policy"] = "buffer"
            if place.epoch is not None:
                begin["resume"] = {"epoch": place.epoch, "seq": place.seq}
            wanted.append(begin)
        return msgspec.json.encode({"id": 1, "op": "subscribe", "channels": wanted}).decode()

    def on_line(self, line: str) -> Event | None:
        """Return what a line means to the reader, if anything.

        Raises:
            RefusedError: If a channel was refused that was never had.
            RetryableError: If something was lost, or refused for now: connect again.
        """
        message = msgspec.json.decode(line)
        if "results" in message:
            for result in message["results"]:
                self._begin(result)
        elif message.get("ok") is False:
            self._refuse(message["error"])
        elif message.get("type") == "goaway":
            low_ms, high_ms = message["retry_after_ms"]
            self.retry_after_ms = (low_ms, high_ms)
        elif message.get("type") in _EVENTS:
            return self._event(message)
        return None

    def _begin(self, result: dict[str, Any]) -> None:
        place = self._places[result["ch"]]
        has_snapshot = result["recovered"] is False or (place.epoch is None and self.snapshot > 0)
        # Until a snapshot has come there is no place to resume from.
        place.coming = result["epoch"]
        place.epoch = None if has_snapshot else result["epoch"]
        place.seq = None if has_snapshot else result["seq"]

    def _refuse(self, error: dict[str, Any]) -> None:
        had = any(place.epoch is not None for place in self._places.values())
        if had or error["temporary"]:
            raise RetryableError(error["message"])
        raise RefusedError(error["code"], error["message"])

    def _event(self, message: dict[str, Any]) -> Event | None:
        place, seq = self._places[message["ch"]], message["seq"]
        if message["type"] == "snapshot":
            place.epoch = place.coming
        elif place.seq is not None and seq <= place.seq:
            return None
        elif message["prev"] != place.seq:
            place.epoch = place.seq = None
            raise RetryableError(f"updates of {message['ch']} do not follow on")
        place.seq = seq
        return Event(message["ch"], message["type"], seq, message["data"])


def may_reconnect(code: int) -> bool:
    """Return whether a connection that was closed with ``code`` should be made again.

    >>> may_reconnect(1006), may_reconnect(3008), may_reconnect(1008), may_reconnect(3501)
    (True, True, False, False)
    """
    return code not in _FINAL_CODES and not 3500 <= code < 4000
