"""When a candle may be learned from: on a chain only once nothing can take its trades back."""

from chaintide.streams.records import Candle, Market


def is_settled(candle: Candle) -> bool:
    """Return whether ``candle`` may be learned from."""
    if is_on_chain(candle.market):
        return candle.status == "final"
    return candle.status != "open"


def is_on_chain(market: Market) -> bool:
    """Return whether ``market`` is one of a chain, by the address in its name.

    >>> is_on_chain(Market("5151:0xa1/0x01")), is_on_chain(Market("kraken:BTC-USD"))
    (True, False)
    """
    return market.partition(":")[2].startswith("0x")
