"""The pools of all chains, as workers see them, in the units of their tokens."""

from bisect import bisect_right
from typing import Final

import msgspec

from chaintide.api.live.update import Update, UpdateType
from chaintide.api.state.tape import Retraction
from chaintide.streams import codec, decimals
from chaintide.streams.chain.records import Alias
from chaintide.streams.chain.swaps import price_of
from chaintide.streams.records import Market
from chaintide.streams.views import PoolKind, PoolState, PoolView

MAX_POOLS: Final = 100_000
_Q96: Final = 2**96


class PoolEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool holds after the log at (``number``, ``log_index``), a block of ``time_ms``.

    ``base_reserve`` and ``quote_reserve`` are exact, ``price``, of the base in quote, has 18
    digits; all are null where the decimals of the tokens are not known. Concentrated liquidity has
    no reserves; ``liquidity``, ``sqrt_price_x96`` and ``tick`` are as the pool has them, null in
    others. Until ``is_final`` the block may be replaced.
    """

    market: Market
    name: str
    base: str | None
    quote: str | None
    kind: PoolKind
    base_reserve: str | None
    quote_reserve: str | None
    price: str | None
    liquidity: str | None
    sqrt_price_x96: str | None
    tick: int | None
    number: int
    block_hash: str
    log_index: int
    time_ms: int
    is_final: bool


class Pools:
    """The last view of each pool; beyond 100,000 pools, new ones are not known."""

    def __init__(self) -> None:
        self._views: dict[Market, PoolView] = {}
        self._sorted: list[Market] = []

    def on_view(
        self, view: PoolView, alias: Alias | None, *, seq: int, published_ms: int
    ) -> list[Update]:
        """Take a view, unless a replaced worker wrote it; return what that changes for readers."""
        known = self._views.get(view.market)
        if known is not None and (view.generation, view.offset) < (known.generation, known.offset):
            return []
        if known is None:
            if len(self._views) >= MAX_POOLS:
                return []
            self._sorted = []
        self._views[view.market] = view
        if view.newest is None:
            return [] if known is None else _retraction(known, seq, published_ms)
        entry = entry_of(view, alias)
        if known is None or known.newest is None:
            return [_update(entry, "update", seq, published_ms)]
        if entry == entry_of(known, alias):
            return []
        kind: UpdateType = "correction" if _is_taken_back(known.newest, view) else "update"
        return [_update(entry, kind, seq, published_ms)]

    def on_alias(self, alias: Alias, *, seq: int, published_ms: int) -> list[Update]:
        """Return the update for readers of a pool whose tokens are known from now on."""
        view = self.view(alias.market)
        if view is None:
            return []
        return [_update(entry_of(view, alias), "update", seq, published_ms)]

    def view(self, market: Market) -> PoolView | None:
        """Return the view of a pool; None if it is not known, or all of it was undone."""
        view = self._views.get(market)
        return None if view is None or view.newest is None else view

    def after(self, market: str, chain: str | None) -> list[PoolView]:
        """Return the pools of a chain, or of all, whose names come after ``market``, sorted."""
        if len(self._sorted) != len(self._views):
            self._sorted = sorted(self._views)
        names = self._sorted[bisect_right(self._sorted, Market(market)) :]
        return [
            view
            for name in names
            if (chain is None or name.startswith(f"{chain}:")) and (view := self.view(name))
        ]


def _is_taken_back(before: PoolState, view: PoolView) -> bool:
    """Return whether the block that a pool's state was of is not part of its chain any more."""
    held = view.pending if view.settled is None else [view.settled, *view.pending]
    hashes = {state.number: state.block_hash for state in held}
    if before.number in hashes:
        return hashes[before.number] != before.block_hash
    return view.settled is None or before.number > view.settled.number


def _retraction(known: PoolView, seq: int, published_ms: int) -> list[Update]:
    """Say that nothing is left of what a pool held."""
    if known.newest is None:
        return []
    retraction = Update(
        channel=f"views:{known.market}",
        seq=seq,
        key=f"retraction {seq}",
        type="retraction",
        event_ms=published_ms,
        published_ms=published_ms,
        data=codec.encode(Retraction(min(state.number for state in known.pending) - 1)),
    )
    return [retraction]


def _update(entry: PoolEntry, kind: UpdateType, seq: int, published_ms: int) -> Update:
    return Update(
        channel=f"views:{entry.market}",
        seq=seq,
        key="pool",
        type=kind,
        event_ms=entry.time_ms,
        published_ms=published_ms,
        data=codec.encode(entry),
    )


def entry_of(view: PoolView, alias: Alias | None) -> PoolEntry:
    """Return what readers are told of a pool whose ``view`` holds anything."""
    state = view.newest
    assert state is not None  # noqa: S101  `Pools` returns no other views
    amounts = None if alias is None else _amounts(view.kind, state, alias)
    reserves = amounts if state.reserves is not None else None
    return PoolEntry(
        market=view.market,
        name=view.market if alias is None else alias.name,
        base=alias.base if alias else None,
        quote=alias.quote if alias else None,
        kind=view.kind,
        base_reserve=None if reserves is None else decimals.text(*reserves[0]),
        quote_reserve=None if reserves is None else decimals.text(*reserves[1]),
        price=None if amounts is None else _price(*amounts),
        liquidity=state.liquidity,
        sqrt_price_x96=state.sqrt_price_x96,
        tick=state.tick,
        number=state.number,
        block_hash=state.block_hash,
        log_index=state.log_index,
        time_ms=state.time_ms,
        is_final=not view.pending,
    )


def _amounts(
    kind: PoolKind, state: PoolState, alias: Alias
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return amounts of base and quote, each with its scale, that are worth the same."""
    is_base_first = kind == "reserves" or int(alias.base_token, 16) < int(alias.quote_token, 16)
    if state.reserves is not None:
        first, second = map(int, state.reserves)
    elif state.sqrt_price_x96 is not None:
        first, second = _Q96**2, int(state.sqrt_price_x96) ** 2
    else:
        return None
    base, quote = (first, second) if is_base_first else (second, first)
    return (base, alias.base_scale), (quote, alias.quote_scale)


def _price(base: tuple[int, int], quote: tuple[int, int]) -> str | None:
    if not base[0] or not quote[0]:
        return None
    return decimals.text(*price_of(base, quote))
