"""The state of a learner as records of a compacted topic, and back, bit by bit.

A snapshot is a body, the raw little-endian bytes of every array, cut into chunks, and a header
that says what the bytes are. The header is written last, and snapshots take turns at two places;
so whatever is killed between two records, one whole snapshot is there.
"""

import zlib
from typing import Final

import msgspec
import numpy as np

from chaintide.agents.learning.learner import Learner
from chaintide.agents.learning.rules import SCHEMA, Rules, digest, features_hash
from chaintide.agents.learning.table import Floats, Ints, Table
from chaintide.streams.errors import BadRecordError
from chaintide.streams.intervals import Interval
from chaintide.streams.records import Market

Entry = tuple[bytes, bytes]
MAX_CHUNK_BYTES: Final = 256 * 1024
_STAMP_BYTES: Final = 16  # of a chunk: number of the snapshot and crc
PLACES: Final = 2


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshot it is, and which inputs it contains: the last offset of each partition."""

    number: int
    applied: dict[str, int]
    watermark_ms: int = 0


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One array of the body, rows last; ``kind`` is as NumPy writes it, such as ``<f8``."""

    name: str
    kind: str
    shape: list[int]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the chunks of a snapshot mean."""

    schema: int
    stamp: Stamp
    interval: Interval
    horizons: list[int]
    rules: str
    features_hash: str
    parts: list[Part]
    chunks: int
    body_bytes: int
    crc: int


def rules_hash(rules: Rules) -> str:
    """Return the name of the parameters; a state only fits those it was learned by."""
    return digest(msgspec.json.encode(rules))


def entries(learner: Learner, stamp: Stamp) -> list[Entry]:
    """Return the records of a snapshot, in the order in which they must be written."""
    names = msgspec.json.encode(learner.markets)
    arrays = all_arrays(learner)
    parts = [
        Part(name, a.dtype.newbyteorder("<").str, list(a.T.shape)) for name, a in arrays.items()
    ]
    body = len(names).to_bytes(8, "little") + names
    body += b"".join(a.T.astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays.values())
    size = MAX_CHUNK_BYTES - _STAMP_BYTES
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    header = Header(
        schema=SCHEMA,
        stamp=stamp,
        interval=learner.interval,
        horizons=list(learner.horizons),
        rules=rules_hash(learner.rules),
        features_hash=features_hash(),
        parts=parts,
        chunks=len(chunks),
        body_bytes=len(body),
        crc=zlib.crc32(body),
    )
    prefix = f"{learner.interval}|{stamp.number % PLACES}"
    written = [
        (f"{prefix}|{place}".encode(), _stamped(stamp.number, chunk))
        for place, chunk in enumerate(chunks)
    ]
    return [*written, (prefix.encode(), msgspec.json.encode(header))]


def all_arrays(learner: Learner) -> dict[str, Floats | Ints]:
    """Return everything that a learner knows, by name."""
    arrays = learner.loose()
    for name, table in learner.tables().items():
        arrays |= {f"{name}.{column}": cells for column, cells in table.arrays().items()}
    return arrays


class Recovery:
    """The snapshots of a topic, read from its beginning; the newest whole one counts."""

    def __init__(self) -> None:
        self._headers: dict[str, dict[int, Header]] = {}
        self._chunks: dict[tuple[str, int, int], tuple[int, bytes]] = {}

    def on_entry(self, key: bytes, value: bytes) -> None:
        """Take in the next record.

        Raises:
            BadRecordError: If it is none of a snapshot.
        """
        interval, place, *chunk = key.decode(errors="replace").split("|")
        try:
            if not chunk:
                header = msgspec.json.decode(value, type=Header)
                self._headers.setdefault(interval, {})[int(place)] = header
            else:
                at = (interval, int(place), int(chunk[0]))
                self._chunks[at] = _unstamped(value)
        except (msgspec.DecodeError, ValueError, IndexError) as error:
            raise BadRecordError(f"no part of a snapshot: {error}") from error

    def learner(self, fresh: Learner) -> Stamp | None:
        """Fill ``fresh`` with the newest whole snapshot of its kind and return its stamp.

        Returns ``None``, and leaves it as it is, where there is none.
        """
        headers = self._headers.get(fresh.interval, {})
        for place, header in sorted(headers.items(), key=lambda item: -item[1].stamp.number):
            if not _fits(header, fresh):
                continue
            body = self._body(header, place)
            if body is not None:
                _fill(fresh, header, body)
                return header.stamp
        return None

    def _body(self, header: Header, place: int) -> bytes | None:
        chunks = []
        for number in range(header.chunks):
            snapshot, chunk = self._chunks.get((header.interval, place, number), (-1, b""))
            if snapshot != header.stamp.number:
                return None
            chunks.append(chunk)
        body = b"".join(chunks)
        is_whole = len(body) == header.body_bytes and zlib.crc32(body) == header.crc
        return body if is_whole else None


def _stamped(number: int, chunk: bytes) -> bytes:
    return number.to_bytes(8, "little") + zlib.crc32(chunk).to_bytes(8, "little") + chunk


def _unstamped(value: bytes) -> tuple[int, bytes]:
    """Return the number of the snapshot, -1 if the bytes are damaged, and the bytes."""
    chunk = value[_STAMP_BYTES:]
    is_whole = int.from_bytes(value[8:_STAMP_BYTES], "little") == zlib.crc32(chunk)
    return (int.from_bytes(value[:8], "little") if is_whole else -1), chunk


def _fits(header: Header, learner: Learner) -> bool:
    return (
        header.schema == SCHEMA
        and header.horizons == list(learner.horizons)
        and header.rules == rules_hash(learner.rules)
        and header.features_hash == features_hash()
    )


def _fill(learner: Learner, header: Header, body: bytes) -> None:
    start = 8 + int.from_bytes(body[:8], "little")
    for name in msgspec.json.decode(body[8:start], type=list[str]):
        learner.row(Market(name))
    arrays: dict[str, Floats | Ints] = {}
    for part in header.parts:
        count = int(np.prod(part.shape))
        cells = np.frombuffer(body, dtype=part.kind, count=count, offset=start)
        arrays[part.name] = cells.reshape(part.shape).T
        start += cells.nbytes
    for name, array in learner.loose().items():
        array[...] = arrays[name]
    for name, table in learner.tables().items():
        _fill_table(table, name, arrays)


def _fill_table(table: Table, name: str, arrays: dict[str, Floats | Ints]) -> None:
    for column, cells in table.arrays().items():
        cells[...] = arrays[f"{name}.{column}"]
