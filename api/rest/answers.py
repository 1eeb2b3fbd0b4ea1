"""What the routes answer with, and when an answer can never change again."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from chaintide.api.rest.queries import CandlesQuery
from chaintide.api.state.catalogue import FeedEntry, MarketEntry
from chaintide.api.state.forecasts import ModelEntry
from chaintide.api.state.pools import PoolEntry
from chaintide.api.state.tape import TapeTrade
from chaintide.api.state.ticker import TickerFigures
from chaintide.streams.anomalies import Anomaly
from chaintide.streams.feeds.coingecko import TrendingCoin
from chaintide.streams.intervals import Interval
from chaintide.streams.probabilities import Prediction, ReliabilityBin, Step
from chaintide.streams.records import Candle, Gap, Market


class CandlesPage(msgspec.Struct, frozen=True):
    """Candles sorted by open time; ``next`` is the cursor of the next page, null on the last."""

    market: Market
    interval: str
    candles: list[Candle]
    next: str | None


class TradesAnswer(msgspec.Struct, frozen=True):
    """The newest trades of a market, oldest first."""

    market: Market
    trades: list[TapeTrade]


class TickersAnswer(msgspec.Struct, frozen=True):
    """The figures of the last 24 hours."""

    tickers: list[TickerFigures]


class MarketsAnswer(msgspec.Struct, frozen=True):
    """Every known market."""

    markets: list[MarketEntry]


class PoolsPage(msgspec.Struct, frozen=True):
    """Pools sorted by market; ``next`` is ``after`` of the next page, null on the last."""

    pools: list[PoolEntry]
    next: Market | None


class AnomaliesPage(msgspec.Struct, frozen=True):
    """Anomalies sorted by time; ``next`` is the cursor of the next page, null on the last."""

    market: Market
    anomalies: list[Anomaly]
    next: str | None


class ProbabilitiesAnswer(msgspec.Struct, frozen=True):
    """The newest predictions of a market, one for each horizon."""

    market: Market
    interval: Interval
    probabilities: list[Prediction]


class ModelsPage(msgspec.Struct, frozen=True):
    """Models sorted by market; ``next`` is ``after`` of the next page, null on the last."""

    models: list[ModelEntry]
    next: str | None


class SkillPoint(msgspec.Struct, frozen=True):
    """The skill of a model after so many labels."""

    time_ms: int
    labels: int
    skill: float | None


class Calibration(msgspec.Struct, frozen=True):
    """What a model said beside what came, in bins of equal size, and its history.

    ``steps`` are the last 20 drifts and what became of challengers, ``history`` has a point each
    15 candles.
    """

    model: ModelEntry
    bins: list[ReliabilityBin]
    steps: list[Step]
    history: list[SkillPoint]


class TrendingAnswer(msgspec.Struct, frozen=True):
    """The coins most looked for at ``time_us``, which is null before the first reading."""

    time_us: int | None
    coins: list[TrendingCoin]


class FeedsAnswer(msgspec.Struct, frozen=True):
    """How each feed does."""

    feeds: list[FeedEntry]


class GapEntry(msgspec.Struct, frozen=True):
    """A span in which trades were missed; ``filled`` once the venue has delivered them."""

    from_us: int
    to_us: int
    reason: str
    filled: bool


class GapsAnswer(msgspec.Struct, frozen=True):
    """The gaps of a market, sorted by their start."""

    market: Market
    gaps: list[GapEntry]


class TimeAnswer(msgspec.Struct, frozen=True):
    """The clock of the server."""

    time_ms: int
    time: str


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at; without one that is required there is no service."""

    name: str
    is_ok: bool
    is_required: bool
    reason: str


class ReadyAnswer(msgspec.Struct, frozen=True):
    """``ready``, ``degraded`` if something that is not required is amiss, or ``unready``."""

    status: str
    epoch: str
    checks: list[Check]


class HealthAnswer(msgspec.Struct, frozen=True):
    """That the process answers."""

    status: str


STRUCTS = (
    CandlesPage,
    TradesAnswer,
    TickersAnswer,
    MarketsAnswer,
    PoolsPage,
    AnomaliesPage,
    ProbabilitiesAnswer,
    ModelsPage,
    Calibration,
    TrendingAnswer,
    FeedsAnswer,
    GapsAnswer,
    TimeAnswer,
    ReadyAnswer,
    HealthAnswer,
)


def chosen(candles: Sequence[Candle], query: CandlesQuery) -> list[Candle]:
    """Return those of ``candles`` that were asked for."""
    return [
        candle
        for candle in candles
        if not (query.closed_only and candle.status == "open")
        and not (query.fill == "omit" and candle.fill == "carry")
    ]


def is_settled(candles: Sequence[Candle], query: CandlesQuery, end_ms: int | None) -> bool:
    """Return whether the answer about these candles, a full page or all there are, is for ever.

    That takes final candles only, each where the one before ends, and no room before ``end_ms``,
    the end of this page, for one that is still to come.
    """
    if not candles or any(candle.status != "final" for candle in candles):
        return False
    if any(after.open_time_ms != before.close_time_ms for before, after in pairwise(candles)):
        return False
    if len(candles) == query.limit and query.start is not None:
        return True
    return end_ms is not None and candles[-1].close_time_ms >= end_ms


def etag(body: bytes) -> str:
    """Return the validator of ``body``; weak, as compression may change the bytes.

    >>> etag(b"{}")
    'W/"bf21a9e8fbc5a384"'
    """
    return f'W/"{hashlib.sha1(body, usedforsecurity=False).hexdigest()[:16]}"'


def has_etag(header: str, tag: str) -> bool:
    """Return whether ``If-None-Match`` names ``tag``.

    >>> has_etag('"x", W/"ab"', 'W/"ab"'), has_etag('"ab"', 'W/"ab"'), has_etag("", 'W/"ab"')
    (True, True, False)
    """
    names = {name.strip().removeprefix("W/") for name in header.split(",")}
    return tag.removeprefix("W/") in names or "*" in names


def gap_entries(gaps: Sequence[Gap], start_ms: int | None, end_ms: int | None) -> list[GapEntry]:
    """Return the gaps that touch ``[start_ms, end_ms)``."""
    return [
        GapEntry(gap.from_us, gap.to_us, gap.reason, gap.filled)
        for gap in gaps
        if (start_ms is None or gap.to_us > start_ms * 1000)
        and (end_ms is None or gap.from_us < end_ms * 1000)
    ]
