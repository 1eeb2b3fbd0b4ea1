"""What the logs of a pool say of what it holds."""

from typing import Any, Final

import msgspec

from chaintide.streams.chain.records import ChainLog
from chaintide.streams.views import PoolKind, PoolState

_AMOUNTS: Final[dict[str, tuple[PoolKind, str, str]]] = {
    "ReservesUpdated": ("reserves", "tokenReserves", "usdcReserves"),
    "Sync": ("pair", "reserve0", "reserve1"),
}
_PRICES: Final = frozenset({"Swap", "Initialize"})
_SIGNS: Final = {"Mint": 1, "Burn": -1}


def kind_of(log: ChainLog) -> PoolKind | None:
    """Return the kind of pool that ``log`` tells the state of, None if it tells none."""
    if log.event in _AMOUNTS:
        kind, *names = _AMOUNTS[log.event]
        return kind if all(name in log.args for name in names) else None
    is_price = log.event in _PRICES and "sqrtPriceX96" in log.args
    is_range = log.event in _SIGNS and "tickLower" in log.args
    return "concentrated" if is_price or is_range else None


def state_after(log: ChainLog, before: PoolState | None) -> PoolState | None:
    """Return what a pool holds after ``log``; None if nothing has changed, or it cannot be said.

    Of concentrated liquidity only that at the price counts. What is added to or taken from it
    can be told only once the price is known.
    """
    try:
        return _state_after(log, before)
    except (KeyError, ValueError, TypeError):
        return None


def _state_after(log: ChainLog, before: PoolState | None) -> PoolState | None:
    args = log.args
    if log.event in _AMOUNTS:
        _, first, second = _AMOUNTS[log.event]
        return _state(log, reserves=(_text(args[first]), _text(args[second])))
    if log.event in _PRICES:
        return _state(
            log,
            sqrt_price_x96=_text(args["sqrtPriceX96"]),
            liquidity=_text(args.get("liquidity", 0)),  # a pool begins without any
            tick=int(args["tick"]),
        )
    if before is None or before.tick is None or before.liquidity is None:
        return None
    if not int(args["tickLower"]) <= before.tick < int(args["tickUpper"]):
        return None
    liquidity = int(before.liquidity) + _SIGNS[log.event or ""] * int(args["amount"])
    return msgspec.structs.replace(
        before,
        number=log.number,
        block_hash=log.block_hash,
        log_index=log.log_index,
        time_ms=log.time_ms,
        liquidity=str(liquidity),
    )


def _state(log: ChainLog, **fields: Any) -> PoolState:  # noqa: ANN401  fields of the record
    return PoolState(
        number=log.number,
        block_hash=log.block_hash,
        log_index=log.log_index,
        time_ms=log.time_ms,
        **fields,
    )


def _text(number: object) -> str:
    return str(int(str(number)))
