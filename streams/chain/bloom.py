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

    Raises:
        ValueError: If it is not plainly hexadecimal; nothing is hashed of its beginning or blanks.
    """
    raw = bytes.fromhex(item[2:])
    if item[:2] != "0x" or len(item) != 2 + 2 * len(raw):
        raise ValueError(f"not bytes: {item[:80]!r}")
    digest = keccak(raw)
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


class AddressFilter:
    """Tells of blooms whether they may hold logs of any of some addresses.

    >>> address = "0x" + "a1" * 20
    >>> sought = AddressFilter([address])
    >>> sought.may_match(bloom_bits(address)), sought.may_match(0)
    (True, False)
    """

    def __init__(self, addresses: Iterable[str]) -> None:
        self._by_lowest: dict[int, list[int]] = {}  # what no bit is set for is not looked at
        for bits in map(bloom_bits, addresses):
            self._by_lowest.setdefault(bits & -bits, []).append(bits)

    def may_match(self, bloom: int) -> bool:
        """Return False if a block with this bloom has no log of them for certain."""
        return any(
            bloom & bits == bits
            for lowest, those in self._by_lowest.items()
            if bloom & lowest
            for bits in those
        )
