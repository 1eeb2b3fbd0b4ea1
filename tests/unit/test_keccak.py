"""Two libraries hash the same, so it does not matter which one a machine has."""

import pytest
from eth_hash.auto import keccak as portable

from chaintide.streams.chain import keccak as module
from chaintide.streams.chain.keccak import keccak

SIZES = [0, 1, 135, 136, 137, 271, 272, 273, 10_000]


@pytest.mark.parametrize("size", SIZES)
def test_the_quick_library_and_the_portable_one_agree(size):
    raw = bytes(place * 7 % 256 for place in range(size))
    assert keccak(raw) == portable(raw)


def test_without_the_quick_library_the_portable_one_hashes(monkeypatch):
    quick = keccak(b"Transfer(address,address,uint256)")
    monkeypatch.setattr(module, "keccak_256", None)
    assert keccak(b"Transfer(address,address,uint256)") == quick
    assert quick.hex().startswith("ddf252ad1be2c89b")
