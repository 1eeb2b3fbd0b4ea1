"""Which market is meant by what a person typed: its own name, or what people call it."""

from collections.abc import Mapping
from itertools import islice, pairwise
from typing import Final

from chaintide.streams.records import Market

SHOWN: Final = 3
LOOKED_AT: Final = 2_000  # the rest has to be looked up
_LEAST: Final = 0.3
_ALIKE: Final = 0.7  # as much as the likeliest one
_VENUE: Final = 0.2  # the same venue is a hint, no more


def market_of(asked: str, names: Mapping[Market, str]) -> Market | None:
    """Return the market that has this name, or that alone is called so; else None.

    ``names`` has what people call each market.

    >>> names = {Market("kraken:BTC-USD"): "kraken:BTC-USD", Market("1:0xa"): "local:RUST-USDC"}
    >>> market_of("local:RUST-USDC", names), market_of("1:0xa", names), market_of("1:0xb", names)
    ('1:0xa', '1:0xa', None)
    """
    if asked in names:
        return Market(asked)
    found = [market for market, name in names.items() if name == asked]
    return found[0] if len(found) == 1 else None


def nearest(asked: str, names: Mapping[Market, str]) -> list[str]:
    """Return what may have been meant instead of ``asked``, the likeliest first, three at most.

    Of markets that are all called so, their own names. Of more than 2,000 markets the others are
    not looked at.

    >>> names = {Market("kraken:BTC-USD"): "kraken:BTC-USD", Market("1:0xa"): "local:RUST-USDC"}
    >>> nearest("btcusd", names), nearest("RUST", names), nearest("x", names)
    (['kraken:BTC-USD'], ['local:RUST-USDC'], [])
    """
    if namesakes := [str(market) for market, name in names.items() if name == asked]:
        return sorted(namesakes)[:SHOWN]
    alike = {name: _likeness(asked, name) for name in islice(names.values(), LOOKED_AT)}
    least = _ALIKE * max(alike.values(), default=0.0)
    ranked = sorted(alike, key=lambda name: (-alike[name], name))
    return [name for name in ranked if alike[name] >= max(least, _LEAST)][:SHOWN]


def advice(asked: str, names: Mapping[Market, str]) -> str:
    """Return what to say of ``asked`` where no one market is called so.

    >>> names = {Market("kraken:BTC-USD"): "kraken:BTC-USD"}
    >>> advice("kraken:BTCUSD", names)
    'no market kraken:BTCUSD; the nearest: kraken:BTC-USD'
    >>> advice("kraken:X", names)
    'no market kraken:X; there is kraken:BTC-USD'
    """
    found = ", ".join(nearest(asked, names))
    if asked in names.values():
        return f"several markets are called {asked}: {found}"
    if found:
        return f"no market {asked}; the nearest: {found}"
    return f"no market {asked}; there is {_some(asked, names)}" if names else f"no market {asked}"


def _some(asked: str, names: Mapping[Market, str]) -> str:
    """Return what a few markets are called, first those of the venue that was asked for."""
    venue = f"{asked.partition(':')[0]}:"
    known = islice(names.values(), LOOKED_AT)
    found = sorted(known, key=lambda name: (not name.startswith(venue), name))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _likeness(asked: str, name: str) -> float:
    (venue, _, mine), (other, _, theirs) = asked.rpartition(":"), name.partition(":")
    wanted, had = _pairs(mine), _pairs(theirs)
    shared, fewer = len(wanted & had), min(len(wanted), len(had))
    if not shared:
        return 0.0
    # Of two names that have all of a short word, the one with less besides is nearer.
    return shared / fewer + shared / (len(wanted) + len(had)) + _VENUE * (venue == other)


def _pairs(text: str) -> set[tuple[str, str]]:
    return set(pairwise(letter for letter in text.casefold() if letter.isalnum()))
