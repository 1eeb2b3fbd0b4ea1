"""Whether the logs a node gave for a block can be the logs of that block."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.bloom import AddressFilter, bloom_of

Fault = Literal[
    "logs of another block",
    "removed log",
    "malformed log",
    "log index missing",
    "log index twice",
    "logs out of order",
    "transactions out of order",
    "bloom differs",
    "receipts differ",
    "hash differs",
    "headers are missing",
    "headers do not join",
    "logs are missing",
    "logs differ",
]
MAX_LOGS: Final = 1 << 20
_INDEXES: Final = [hex(n) for n in range(4_096)]  # as nodes write them


def fault_of(
    header: Header, logs: Sequence[RawLog], *, root: str = "", has_bloom: bool = True
) -> Fault | None:
    """Return what is wrong with ``logs`` as all logs of the block ``header``, or None.

    ``root`` is that of the receipts which hold the logs: nothing gets past it. Without it
    contiguous indexes find every log that is missing from the middle, and the bloom most of those
    missing from the end, but no changed data. Some chains leave blooms empty: no ``has_bloom``.
    """
    try:
        fault = _fault_of_places(header, logs)
        if fault is None and root:
            fault = None if root == header.receipts_root else "receipts differ"
        elif fault is None and has_bloom:
            fault = None if bloom_of(logs) == header.bloom else "bloom differs"
    except ValueError:
        return "malformed log"
    return fault


def _fault_of_places(header: Header, logs: Sequence[RawLog]) -> Fault | None:
    if any(log.removed for log in logs):
        return "removed log"
    number = hex(header.number)
    for log in logs:
        is_plain = log.block_hash == header.hash and log.block_number == number
        if not is_plain and not _is_of(header, log):
            return "logs of another block"
    is_plain = [log.log_index for log in logs] == _INDEXES[: len(logs)]
    if not is_plain and (fault := _fault_of_indexes([log.index for log in logs])) is not None:
        return fault
    return None if _are_transactions_in_order(logs) else "transactions out of order"


def _is_of(header: Header, log: RawLog) -> bool:
    return log.block_hash.lower() == header.hash and int(log.block_number, 16) == header.number


def fault_of_header(header: Header) -> Fault | None:
    """Return what is wrong with a header by itself: its hash is not the hash of its fields."""
    return None if header.sealed in {"", header.hash} else "hash differs"


def fault_of_range(headers: Mapping[int, Header], logs: Sequence[RawLog]) -> Fault | None:
    """Return what is wrong with some of the logs of the blocks ``headers``, or None."""
    if any(map(fault_of_header, headers.values())):
        return "hash differs"
    try:
        places = [(int(log.block_number, 16), log.index) for log in logs]
        _ = [int(log.transaction_index, 16) for log in logs]
    except ValueError:
        return "malformed log"
    if any(log.removed for log in logs):
        return "removed log"
    for (number, _), log in zip(places, logs, strict=True):
        header = headers.get(number)
        if header is None or header.hash != log.block_hash.lower():
            return "logs of another block"
    if len(set(places)) != len(places):
        return "log index twice"
    return None if places == sorted(places) else "logs out of order"


def fault_of_headers(headers: Mapping[int, Header], first: int, last: int) -> Fault | None:
    """Return what is wrong with ``headers`` as those of all blocks from ``first`` to ``last``."""
    if any(number not in headers for number in range(first, last + 1)):
        return "headers are missing"
    for number in range(first + 1, last + 1):
        if headers[number].parent_hash != headers[number - 1].hash:
            return "headers do not join"
    return None


def fault_of_told(told: Sequence[RawLog], proven: Sequence[RawLog]) -> Fault | None:
    """Return what is wrong with the logs ``told`` of a range, of which these are ``proven``."""
    if told == proven:
        return None
    ours, theirs = ({_plain(log) for log in logs} for logs in (proven, told))
    if ours <= theirs:
        return None if ours == theirs else "logs differ"
    places = [{plain[:2] for plain in plains} for plains in (ours, theirs)]
    return "logs differ" if places[0] <= places[1] else "logs are missing"


def _plain(log: RawLog) -> tuple[int, int, str, str, str]:
    """Return what two nodes have to tell alike, however they write it."""
    topics = " ".join(log.topics).lower()
    return int(log.block_number, 16), log.index, log.address.lower(), topics, log.data.lower()


def doubtful(
    headers: Mapping[int, Header], logs: Sequence[RawLog], addresses: Sequence[str]
) -> list[int]:
    """Return which blocks have to be read whole to know every log of ``addresses``.

    They are those that ``logs`` are of, and those whose bloom says that they may have some.
    """
    told, sought = {int(log.block_number, 16) for log in logs}, AddressFilter(addresses)
    return [
        number
        for number, header in sorted(headers.items())
        if number in told or sought.may_match(header.bloom)
    ]


def _fault_of_indexes(indexes: list[int]) -> Fault | None:
    if indexes == list(range(len(indexes))):
        return None if len(indexes) <= MAX_LOGS else "malformed log"
    if len(set(indexes)) != len(indexes):
        return "log index twice"
    if sorted(indexes) == list(range(len(indexes))):
        return "logs out of order"
    return "log index missing"


def _are_transactions_in_order(logs: Sequence[RawLog]) -> bool:
    """Return whether transactions follow each other, each with one index and one hash."""
    last, last_text, last_hash, hashes = -1, "", "", set[str]()
    for log in logs:
        tx_hash = log.transaction_hash
        if tx_hash == last_hash and log.transaction_index == last_text:
            continue
        last_text = log.transaction_index
        index = int(last_text, 16)
        if index <= last or tx_hash in hashes:
            return False
        hashes.add(tx_hash)
        last, last_hash = index, tx_hash
    return True
