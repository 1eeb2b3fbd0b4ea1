"""Logs blooms: which addresses and topics a block may hold."""

from collections.abc import Iterable
from functools import lru_cache

from chaintide.streams.chain.blocks import RawLog
from chaintide.streams.chain.keccak import keccak


@lru_cache(maxsize=65_536)
def bloom_bits(item: str) -> int:
    """Return the up to three bits that an address or a topic sets.

    >>> bloom_bits("0x" + "00" * 20).bit_count()
    3
    """
    digest = keccak(bytes.fromhex(item[2:]))
    return (
        1 << (int.from_bytes(digest[0:2]) & 2047)
        | 1 << (int.from_bytes(digest[2:4]) & 2047)
        | 1 << (int.from_bytes(digest[4:6]) & 2047)
    )


def bloom_of(logs: Iterable[RawLog]) -> int:
    """Return the bloom of a block with exactly these logs.

    Raises:
        ValueError: If an address or a topic is not hexadecimal.
    """
    items: set[str] = set()
    for log in logs:
        items.add(log.address)
        items.update(log.topics)
    bloom = 0
    for item in items:
        bloom |= bloom_bits(item)
    return bloom
