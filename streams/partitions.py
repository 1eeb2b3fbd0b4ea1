"""Which partition a market lives in."""

from chaintide.streams.records import Market

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_WORD = 0xFFFFFFFF


def partition_of(market: Market, partitions: int) -> int:
    """Return the partition of ``market``, the one that every Kafka client chooses for this key.

    >>> partition_of(Market("kraken:BTC-USD"), 12)
    2
    """
    return (murmur2(market.encode()) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """Return the 32-bit hash with which Kafka's own producer spreads keys.

    >>> murmur2(b"21")
    3321034988
    """
    h = _SEED ^ len(key)
    whole = len(key) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * _MIX & _WORD
        h = (h * _MIX & _WORD) ^ ((k ^ k >> 24) * _MIX & _WORD)
    if whole < len(key):
        h = (h ^ int.from_bytes(key[whole:], "little")) * _MIX & _WORD
    h = (h ^ h >> 13) * _MIX & _WORD
    return h ^ h >> 15
