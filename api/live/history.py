"""What was lately published in one channel."""

from collections import deque
from dataclasses import dataclass, field

import msgspec

from chaintide.api.live.limits import Limits
from chaintide.api.live.messages import encoded_update
from chaintide.api.live.update import Update


class Part(msgspec.Struct, frozen=True, gc=False):
    """Lines for a client at one position, and the position it has with them.

    ``is_light`` if they are few and there are no more.
    """

    data: bytes
    seq: int
    has_more: bool
    is_light: bool


@dataclass(slots=True, eq=False)
class History:
    """The newest updates of one channel: all of those after ``floor``.

    At 1,000 updates or 1 MiB of data the oldest go, and the floor rises to the last that went.
    Nothing up to the floor was published after ``floor_ms``, which is None while that is unknown.
    Nothing after ``known`` is missing; it is the floor, but None for a history that begins at 0
    until the first update, as nobody knows what was published before that.

    >>> history = History(floor=7)
    >>> history.has_since(7), history.has_since(6), History(floor=0).has_since(7)
    (True, False, False)
    """

    floor: int
    limits: Limits = field(default_factory=Limits)
    floor_ms: int | None = None
    known: int | None = field(init=False)
    _updates: deque[Update] = field(default_factory=deque[Update])
    _data_bytes: int = 0
    _new_count: int = 0
    _new_bytes: int = 0

    def __post_init__(self) -> None:
        self.known = self.floor or None

    @property
    def head(self) -> int:
        """Return the seq of the newest update."""
        return self._updates[-1].seq if self._updates else self.floor

    @property
    def data_bytes(self) -> int:
        """Return how much data is kept."""
        return self._data_bytes

    @property
    def is_untouched(self) -> bool:
        """Return whether no update ever came."""
        return self.floor_ms is None

    @property
    def is_half_new(self) -> bool:
        """Return whether half of what there is room for has come since the last flush."""
        return (
            self._new_count * 2 >= self.limits.history_updates
            or self._new_bytes * 2 >= self.limits.history_bytes
        )

    def on_flush(self) -> None:
        """Note that all there is has been offered to everybody."""
        self._new_count = self._new_bytes = 0

    def append(self, update: Update) -> bool:
        """Take the next update in and return whether it is new: a repeat changes nothing."""
        if update.seq <= self.head:
            return False
        if self.floor_ms is None:
            self.floor_ms = update.published_ms
        if self.known is None:
            self.known = update.seq - 1
        self._updates.append(update)
        self._data_bytes += len(update.data)
        self._new_count += 1
        self._new_bytes += len(update.data)
        while (
            len(self._updates) > self.limits.history_updates
            or self._data_bytes > self.limits.history_bytes
        ):
            self._forget(self._updates.popleft())
        return True

    def clear(self) -> None:
        """Keep nothing: the floor rises to the head."""
        while self._updates:
            self._forget(self._updates.popleft())

    def has_since(self, seq: int) -> bool:
        """Return whether nothing after ``seq`` is missing.

        So it is for a position ahead of the head: another process was further on in the log.
        """
        return self.known is not None and seq >= self.known

    def position_at(self, since_ms: int) -> int | None:
        """Return the position before the first update published at ``since_ms`` or later.

        None if such an update may have been forgotten.
        """
        if self.floor_ms is None or since_ms <= self.floor_ms:
            return None
        seq = self.floor
        for update in self._updates:
            if update.published_ms >= since_ms:
                break
            seq = update.seq
        return seq

    def part_after(self, seq: int, *, is_buffer: bool, now_ms: int = 0) -> Part | None:
        """Return what a client at ``seq`` must be sent ``now_ms``, None if it is below the floor.

        Each message names the one before it as ``prev`` and counts what it leaves out between
        them. Without ``is_buffer``, of each key only the newest update is there. Beyond 256 KiB
        the part ends, and the client is at its last message, with more to come.
        """
        if seq < self.floor:
            return None
        fresh: list[Update] = []
        for update in reversed(self._updates):
            if update.seq <= seq:
                break
            fresh.append(update)
        fresh.reverse()
        newest = None if is_buffer else {update.key: update.seq for update in fresh}
        lines: list[bytes] = []
        conflated = size = 0
        for update in fresh:
            if newest is not None and newest[update.key] != update.seq:
                conflated += 1
                continue
            lines.append(encoded_update(update, prev=seq, conflated=conflated, now_ms=now_ms))
            seq, conflated = update.seq, 0
            size += len(lines[-1])
            if size > self.limits.part_bytes:
                break
        has_more = seq < self.head
        is_light = not has_more and size <= self.limits.heavy_bytes
        return Part(b"\n".join(lines), seq, has_more, is_light)

    def _forget(self, update: Update) -> None:
        self._data_bytes -= len(update.data)
        self.floor = self.known = update.seq
        self.floor_ms = max(self.floor_ms or 0, update.published_ms)
