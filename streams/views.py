"""What the topic of views holds: the present state of things, one record for each."""

from typing import Literal

import msgspec

from chaintide.streams.records import SCHEMA_VERSION, Market

PoolKind = Literal["reserves", "pair", "concentrated"]


class PoolState(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool holds after the log at (``number``, ``log_index``) of its chain.

    Amounts are integers in the tokens' smallest units, as text. A pool of concentrated liquidity
    has no reserves but a price, ``(sqrt_price_x96 / 2**96)**2`` of its second token for one of
    its first, a ``tick``, and the ``liquidity`` there.
    """

    number: int
    block_hash: str
    log_index: int
    time_ms: int
    reserves: tuple[str, str] | None = None
    sqrt_price_x96: str | None = None
    liquidity: str | None = None
    tick: int | None = None


class PoolView(msgspec.Struct, frozen=True, kw_only=True, tag="pool"):
    """The state of one pool: that of the last final block, and one for each later block.

    In a pool of ``reserves`` the first token is the base of its market; in a ``pair``, and where
    liquidity is ``concentrated``, it is the one with the lower address. Of two records of a pool
    the one with the higher (``generation``, ``offset``) counts.
    """

    market: Market
    kind: PoolKind
    generation: int
    offset: int
    settled: PoolState | None
    pending: list[PoolState]
    v: int = SCHEMA_VERSION

    @property
    def newest(self) -> PoolState | None:
        """Return what the pool holds now; None if all that was heard of it is undone."""
        return self.pending[-1] if self.pending else self.settled
