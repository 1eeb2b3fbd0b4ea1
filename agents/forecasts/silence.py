"""Which markets no candle comes from any more."""

from typing import Final

import msgspec

from chaintide.streams.intervals import MINUTE_MS
from chaintide.streams.records import Market

PATIENCE_MS: Final = 60 * MINUTE_MS  # chains are silent until blocks are final, for some minutes


class Heard(msgspec.Struct):
    """When the log last had a candle of each market, and when that was last looked at."""

    markets: dict[Market, int] = {}
    checked_ms: int = 0


class Silence:
    """Markets that the log has had nothing of for an hour of its own time.

    Event time would not do: in a replay that of one market may be days ahead of another's.

    >>> silence = Silence(Heard())
    >>> silence.on_market(Market("kraken:BTC-USD"), 0)
    >>> silence.silent(PATIENCE_MS), silence.silent(PATIENCE_MS + 1)
    (set(), {'kraken:BTC-USD'})
    """

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    def on_market(self, market: Market, time_ms: int) -> None:
        """Note that the log had something of ``market``."""
        self.heard.markets[market] = time_ms

    def is_due(self, time_ms: int) -> bool:
        """Return whether a minute has passed since silence was last looked for."""
        return time_ms >= self.heard.checked_ms + MINUTE_MS

    def silent(self, time_ms: int) -> set[Market]:
        """Return the markets that are silent now."""
        self.heard.checked_ms = time_ms
        least_ms = time_ms - PATIENCE_MS
        return {market for market, last_ms in self.heard.markets.items() if last_ms < least_ms}
