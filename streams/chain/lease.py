"""Who has a chain, for as long as it shows in the block log that it is still there."""

from collections.abc import Iterable
from typing import Final

from chaintide.streams.chain.records import BlockMessage, Released, writer_of

SILENCE_MS: Final = 60_000  # an owner that writes nothing says every 15 s that it is there
LOOK_MS: Final = 5_000  # of a longer pause between two looks no more counts: it is the onlooker's


class Lease:
    """Whether the chain may be taken, as one sees that stands by with ``writer`` as its name.

    Whatever its owner writes into the block log is a sign of life. Only the onlooker's own clock
    counts, and of that only how far it goes between looks: no two clocks are compared.

    >>> from chaintide.streams.chain.records import Owner
    >>> lease = Lease("b")
    >>> lease.on_look([Owner(chain="local", epoch=1, writer="a")], now_ms=7)
    >>> lease.is_over
    False
    >>> lease.on_look([Released(chain="local", epoch=1)], now_ms=8)
    >>> lease.is_over
    True
    """

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._owner = ""
        self._epoch = 0
        self._is_released = False
        self._silent_ms = 0
        self._looked_ms: int | None = None

    @property
    def is_over(self) -> bool:
        """Return whether nobody else has the chain, or has been silent for too long."""
        is_free = self._is_released or self._owner == self._writer
        return is_free or self._silent_ms >= SILENCE_MS

    @property
    def next_epoch(self) -> int:
        """The epoch of whoever takes over from the owner that was seen."""
        return self._epoch + 1

    def on_look(self, records: Iterable[BlockMessage], *, now_ms: int) -> None:
        """Take in what is new in the block log."""
        passed_ms = 0 if self._looked_ms is None else now_ms - self._looked_ms
        self._looked_ms = now_ms
        self._silent_ms += min(max(0, passed_ms), LOOK_MS)
        for record in records:
            self._on_record(record)

    def _on_record(self, record: BlockMessage) -> None:
        if record.epoch > self._epoch:  # of whatever kind: its claim may be gone from the log
            self._epoch, self._owner, self._is_released = record.epoch, writer_of(record), False
        if record.epoch == self._epoch:
            self._silent_ms = 0
            self._is_released = self._is_released or isinstance(record, Released)
