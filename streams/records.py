"""Every message that crosses a topic, as an immutable value.

Times are integers since the Unix epoch, in microseconds (``_us``) where a venue's order
matters and milliseconds (``_ms``) elsewhere. Prices and sizes are exact: a scaled integer
``n`` at scale ``s`` means ``n / 10**s``; in candles and single trades they are decimal strings.
"""

from typing import Literal, NewType

import msgspec

from chaintide.streams.intervals import Interval

Market = NewType("Market", str)
Side = Literal["buy", "sell"]
Status = Literal["open", "closed", "corrected", "final"]
Fill = Literal["traded", "carry"]
Reason = Literal["late", "backfill", "reorg"]
FeedState = Literal["connecting", "live", "backfilling", "standby", "halted"]
BreakerState = Literal["closed", "open", "half-open"]

SCHEMA_VERSION = 1


class Trade(msgspec.Struct, frozen=True, kw_only=True, tag="trade"):
    """One execution at one price, as other producers may write it, one to a message."""

    market: Market
    time_us: int
    price: str
    size: str
    trade_id: int | str | None = None
    side: Side | None = None
    trader: str | None = None
    v: int = SCHEMA_VERSION


class TradeBatch(msgspec.Struct, frozen=True, kw_only=True, tag="trades"):
    """Many trades of one market, column by column; row ``i`` is one trade.

    ``ids``, ``times_us``, ``prices`` and ``sizes`` have the same length as ``sides``, whose
    characters are ``b`` (taker bought), ``s`` (taker sold) or ``?``. Prices are integers at
    ``price_scale``, sizes at ``size_scale``. With a ``block`` they are from that block of a chain
    and may be undone; ``epoch`` is then that of the chain's follower.
    """

    market: Market
    price_scale: int
    size_scale: int
    ids: list[int]
    times_us: list[int]
    prices: list[int]
    sizes: list[int]
    sides: str
    traders: list[str] | None = None
    ingest_time_ms: int = 0
    block: int | None = None
    epoch: int = 0
    v: int = SCHEMA_VERSION

    def __len__(self) -> int:
        return len(self.ids)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """A promise: every trade of ``venue`` before ``time_us`` has been written to this partition.

    With ``market`` the promise is for that market alone. It moves the watermark, so a quiet
    market closes its candles without a next trade. On a chain ``epoch`` is that of its follower.
    """

    venue: str
    time_us: int
    market: Market | None = None
    epoch: int = 0
    v: int = SCHEMA_VERSION


class Gap(msgspec.Struct, frozen=True, kw_only=True, tag="gap"):
    """The feed of ``market`` missed trades in ``[from_us, to_us)``; ``filled`` once backfilled."""

    market: Market
    from_us: int
    to_us: int
    reason: str
    filled: bool = False
    v: int = SCHEMA_VERSION


class Undo(msgspec.Struct, frozen=True, kw_only=True, tag="undo"):
    """Nothing of ``chain`` above block ``to_number`` holds any more.

    It says so of what was written before it; the follower writes it after a reorg and whenever it
    starts, so it also repairs what a crash left half written. Of two ``epoch``s the lower belongs
    to a follower that was replaced: what it still writes is ignored.
    """

    chain: str
    to_number: int
    epoch: int
    v: int = SCHEMA_VERSION


class Final(msgspec.Struct, frozen=True, kw_only=True, tag="final"):
    """Block ``number`` of ``chain`` and everything below it will never be undone."""

    chain: str
    number: int
    block_hash: str
    time_ms: int
    epoch: int
    v: int = SCHEMA_VERSION


class Rebuild(msgspec.Struct, frozen=True, kw_only=True, tag="rebuild"):
    """The markets of ``contract`` begin anew: all of their trades follow, from the first one on.

    The follower of ``chain`` writes it before the history of markets that have begun already.
    """

    chain: str
    contract: str
    epoch: int
    v: int = SCHEMA_VERSION


TradeInput = TradeBatch | Heartbeat | Gap | Undo | Final | Rebuild
TradeMessage = TradeInput | Trade


class Candle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Open, high, low, close and volume of ``[open_time_ms, close_time_ms)``.

    ``revision`` is 0 while open, 1 when closed, and one more with every correction. The same
    (revision, status) from 1 on is always byte-identical. ``updated_ms`` is event time.
    ``reason`` says why it was last corrected: trades that came late, trades a feed had missed
    and then found (``backfill``), or trades that their chain took back or put in their place
    (``reorg``). ``unique_traders`` is null where a trade does not say who traded; it is exact up
    to 5,000, and with ``has_more_traders`` there were more than it says.
    """

    market: Market
    interval: Interval
    open_time_ms: int
    close_time_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    vwap: str | None
    taker_buy_volume: str
    trades: int
    first_trade_id: int | None
    last_trade_id: int | None
    status: Status
    revision: int
    complete: bool
    fill: Fill
    updated_ms: int
    reason: Reason | None = None
    unique_traders: int | None = None
    has_more_traders: bool = False


class CandleBatch(msgspec.Struct, frozen=True, kw_only=True, tag="candles"):
    """The candles of one market that one step of the agent changed, and its gaps if they changed.

    ``generation`` and ``offset`` say which owner of the partition wrote it after which input:
    of two writers the higher pair wins.
    """

    market: Market
    generation: int
    offset: int
    candles: list[Candle]
    gaps: list[Gap] = []
    v: int = SCHEMA_VERSION


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, tag="dead-letter"):
    """A record that cannot be understood, kept with its coordinates and reason."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: str
    value: str
    v: int = SCHEMA_VERSION


class Late(msgspec.Struct, frozen=True, kw_only=True, tag="late"):
    """Trades refused because their candle was already final."""

    trades: TradeBatch
    late_by_ms: int
    topic: str
    partition: int
    offset: int
    v: int = SCHEMA_VERSION


class FeedReport(msgspec.Struct, frozen=True, kw_only=True, tag="feed"):
    """How the feed of one venue was doing at ``time_ms``; counts are since its start.

    ``silence_ms`` is the age of the venue's last message, ``lag_ms`` how long its last trade
    took to arrive, ``gaps`` how often trades were missed.
    """

    venue: str
    time_ms: int
    markets: list[Market]
    state: FeedState
    breaker: BreakerState
    last_message_ms: int | None
    silence_ms: int | None
    lag_ms: int | None
    connects: int
    trades: int
    duplicates: int
    bad_messages: int
    refusals: int
    gaps: int
    last_error: str
    v: int = SCHEMA_VERSION
