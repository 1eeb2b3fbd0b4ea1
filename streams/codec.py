"""Bytes on a topic to records and back, with every check a record must pass."""

import hashlib
import re
from typing import Final, TypeVar

import msgspec

from chaintide.streams import decimals
from chaintide.streams.errors import BadRecordError
from chaintide.streams.records import (
    SCHEMA_VERSION,
    Gap,
    Market,
    Trade,
    TradeBatch,
    TradeInput,
    TradeMessage,
)

MAX_TRADES: Final = 10_000
MAX_ID: Final = 2**63 - 1  # what stores can hold
MAX_NUMBER: Final = 10**100  # far above any price, far below what Python will not print
MARKET: Final = re.compile(r"[\w.-]{1,40}:[\w./-]{1,120}", re.ASCII)
MAX_FUTURE_US: Final = 5_000_000
_T = TypeVar("_T")
_messages: Final = msgspec.json.Decoder(TradeMessage)
_untagged: Final = msgspec.json.Decoder(Trade)
encode: Final = msgspec.json.Encoder().encode


def decode_trades(value: bytes) -> TradeInput:
    """Return the message of the trades topic in ``value``; one trade becomes a batch of one.

    A single trade may leave out its ``type``.

    Raises:
        BadRecordError: If it is malformed, of a newer schema, or an impossible batch or gap.
    """
    message: TradeMessage
    try:
        message = _messages.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if not isinstance(error, msgspec.ValidationError) or b'"type"' in value:
            raise BadRecordError(f"malformed: {error}") from error
        message = decode(_untagged, value)
    if message.v != SCHEMA_VERSION:
        raise BadRecordError(f"schema version {message.v}, this program reads {SCHEMA_VERSION}")
    if isinstance(message, Trade):
        message = batch_of_one(message)
    if isinstance(message, TradeBatch):
        check(message)
    if isinstance(message, Gap):
        _check_gap(message)
    return message


def decode(decoder: "msgspec.json.Decoder[_T]", value: bytes) -> _T:
    """Return the record in ``value``.

    Raises:
        BadRecordError: If ``value`` is not what ``decoder`` expects.
    """
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordError(f"malformed: {error}") from error


def check(batch: TradeBatch) -> None:
    """Check what the types cannot say of the batch as a whole.

    Raises:
        BadRecordError: If its columns do not fit together.
    """
    n = len(batch.ids)
    columns = (batch.times_us, batch.prices, batch.sizes, batch.sides)
    if not 0 < n <= MAX_TRADES or any(len(column) != n for column in columns):
        raise BadRecordError(f"columns of unequal length, or not 1 to {MAX_TRADES} trades")
    if batch.traders is not None and len(batch.traders) != n:
        raise BadRecordError("traders has another length than ids")
    scales = (batch.price_scale, batch.size_scale)
    if min(scales) < 0 or max(scales) > decimals.MAX_SCALE:
        raise BadRecordError(f"scale not in 0..{decimals.MAX_SCALE}")
    _check_market(batch.market)


def _check_gap(gap: Gap) -> None:
    _check_market(gap.market)
    if gap.to_us <= gap.from_us:
        raise BadRecordError("gap ends before it begins")
    if gap.from_us < 0 or gap.to_us > MAX_ID:
        raise BadRecordError(f"time of a gap is not in 0..{MAX_ID}")


def _check_market(market: Market) -> None:
    if not MARKET.fullmatch(market):
        raise BadRecordError(f"market {market[:60]!r} is not venue:SYMBOL")


def faults(batch: TradeBatch, now_ms: int) -> dict[int, str]:
    """Return the places of impossible trades in ``batch``, each with its reason.

    >>> trade = Trade(market="kraken:BTC-USD", time_us=9_000_000, price="-1", size="3")
    >>> faults(batch_of_one(trade), now_ms=0)
    {0: 'price is not above 0'}
    """
    latest_us = now_ms * 1000 + MAX_FUTURE_US
    if (
        0 < min(batch.prices) <= max(batch.prices) < MAX_NUMBER
        and 0 < min(batch.sizes) <= max(batch.sizes) < MAX_NUMBER
        and min(batch.ids) >= 0
        and max(batch.ids) <= MAX_ID
        and min(batch.times_us) >= 0
        and max(batch.times_us) <= latest_us
    ):
        return {}
    found = {row: "time is before 1970" for row, t in enumerate(batch.times_us) if t < 0}
    found |= {
        row: f"time is {(t - now_ms * 1000) // 1_000_000} s in the future"
        for row, t in enumerate(batch.times_us)
        if t > latest_us
    }
    found |= {
        row: f"trade id is not in 0..{MAX_ID}"
        for row, n in enumerate(batch.ids)
        if not 0 <= n <= MAX_ID
    }
    for name, column in (("size", batch.sizes), ("price", batch.prices)):
        found |= {row: f"{name} is not above 0" for row, n in enumerate(column) if n <= 0}
        found |= {row: f"{name} is too large" for row, n in enumerate(column) if n >= MAX_NUMBER}
    return dict(sorted(found.items()))


def batch_of_one(trade: Trade) -> TradeBatch:
    """Return ``trade`` as a batch.

    Raises:
        BadRecordError: If its price or size is no decimal number.
    """
    price, price_scale = decimals.parse(trade.price)
    size, size_scale = decimals.parse(trade.size)
    return TradeBatch(
        market=trade.market,
        price_scale=price_scale,
        size_scale=size_scale,
        ids=[trade_id(trade)],
        times_us=[trade.time_us],
        prices=[price],
        sizes=[size],
        sides={"buy": "b", "sell": "s", None: "?"}[trade.side],
        traders=None if trade.trader is None else [trade.trader],
    )


def trade_id(trade: Trade, ordinal: int = 0) -> int:
    """Return the venue's id of ``trade``, or a 62-bit hash that stands for it.

    Ids that are no integers, and trades without one, are hashed; ``ordinal`` is the place
    among equal trades of one venue message.

    >>> trade_id(Trade(market="kraken:BTC-USD", time_us=1, price="2", size="3", trade_id="17"))
    17
    """
    given = trade.trade_id
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 19:
        given = int(given)
    if isinstance(given, int) and 0 <= given < 2**63:
        return given
    parts = [trade.time_us, trade.price, trade.size, trade.side, ordinal]
    content = str(given) if given is not None else "|".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest()) >> 2
