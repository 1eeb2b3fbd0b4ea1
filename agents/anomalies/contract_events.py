"""Events of contracts as something that can be judged: how much, and by whom."""

from typing import Any, Final

from chaintide.agents.anomalies.alarms import Row
from chaintide.agents.anomalies.market import Tick
from chaintide.streams.chain.records import ChainLog

# Swaps come as trades; the others only repeat what pools hold after them.
_TOLD_ELSEWHERE: Final = frozenset({"Swap", "Sync", "ReservesUpdated"})
_AMOUNTS: Final = (
    "amount",
    "value",
    "wad",
    "tokenAmount",
    "usdcAmount",
    "amount0",
    "shares",
    "weight",
    "votes",
    "grams",
    "quantity",
)
_ADDRESSES: Final = (
    "user",
    "from",
    "sender",
    "voter",
    "owner",
    "proposer",
    "creator",
    "account",
    "to",
    "recipient",
)
_DIGITS: Final = 100


def tick_of(log: ChainLog) -> Tick | None:
    """Return what ``log`` is to be judged by; None if it is told as a trade, or not decoded.

    An event without an amount that is known by its name counts as 1.
    """
    if log.event is None or log.event in _TOLD_ELSEWHERE:
        return None
    found = (_amount(log.args.get(name)) for name in _AMOUNTS)
    size = next((amount for amount in found if amount is not None), 1.0)
    named = (log.args.get(name) for name in _ADDRESSES)
    row = Row(
        time_us=log.time_ms * 1000,
        log=f"{log.block_hash}:{log.log_index}",
        block=log.number,
        address=next((one for one in named if isinstance(one, str)), None),
    )
    return Tick(row, size, 0.0)


def _amount(value: Any) -> float | None:  # noqa: ANN401  an argument of any type
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not text.isdecimal() or len(text) > _DIGITS:
        return None
    return float(text) or None
