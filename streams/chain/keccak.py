"""The hash of Ethereum, from the quickest library there is."""

from eth_hash.auto import keccak as portable

try:
    from sha3 import keccak_256
except ImportError:  # it has to be compiled where there is no wheel of it
    keccak_256 = None


def keccak(raw: bytes) -> bytes:
    """Return the Keccak-256 of ``raw``.

    >>> keccak(b"").hex()[:16]
    'c5d2460186f7233c'
    """
    digest: bytes = portable(raw) if keccak_256 is None else keccak_256(raw).digest()
    return digest
