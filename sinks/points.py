"""Candles, gaps, predictions, scores and anomalies as points of InfluxDB, in its line protocol.

The tags and the time of a point are its identity: writing it again replaces it, provided it
always has the same fields. The field ``exact`` holds the whole record and is what reads
return; the other fields are there to be drawn and queried.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from chaintide.sinks.forecast_store import kept, place_ms
from chaintide.streams import codec
from chaintide.streams.anomalies import Anomaly
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch
from chaintide.streams.records import Candle, CandleBatch, Gap, Market

PLAIN: Final = ":/.-_@$#+*"
_QUANTILES: Final = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
_FIGURES: Final = (
    "log_loss",
    "log_loss_base",
    "brier",
    "brier_base",
    "ece",
    "ece_floor",
    "coverage_50",
    "coverage_80",
    "coverage_90",
)
_COUNTS: Final = ("labels", "issued", "resolved", "pending", "void", "amended", "drift_alarms")


def tag(text: str) -> str:
    """Return ``text`` as a tag value: the usual names as they are, anything odd encoded.

    What comes out needs no escapes, neither in line protocol nor in a Flux string.

    >>> tag("kraken:BTC-USDT"), tag("a, b=c")
    ('kraken:BTC-USDT', 'a%2C%20b%3Dc')
    """
    return quote(text, safe=PLAIN)


def market_of(tag_value: str) -> Market:
    """Return the market that ``tag`` made ``tag_value`` of."""
    return Market(unquote(tag_value))


def points(batches: Iterable[CandleBatch]) -> list[str]:
    """Return a line for each candle and each gap."""
    return [
        line
        for batch in batches
        for line in (*map(candle_point, batch.candles), *map(gap_point, batch.gaps))
    ]


def candle_point(candle: Candle) -> str:
    """Return the line of ``candle``: prices and sizes as the nearest floats, and exactly.

    A candle without trades has no volume-weighted price. Its float is the close then, because
    a field that is left out would keep the value of an earlier revision. For the same reason
    ``unique_traders`` is -1 where it is not known.
    """
    tags = f"{_market_tags(candle.market)},interval={candle.interval}"
    floats = (
        f"open={candle.open},high={candle.high},low={candle.low},close={candle.close}"
        f",volume={candle.volume},quote_volume={candle.quote_volume}"
        f",vwap={candle.vwap or candle.close},taker_buy_volume={candle.taker_buy_volume}"
    )
    traders = -1 if candle.unique_traders is None else candle.unique_traders
    state = (
        f"trades={candle.trades}i,revision={candle.revision}i,complete={candle.complete}"
        f',status="{candle.status}",fill="{candle.fill}",reason="{candle.reason or ""}"'
        f",unique_traders={traders}i,has_more_traders={candle.has_more_traders}"
    )
    time_ns = candle.open_time_ms * 1_000_000
    return f"candles,{tags} {floats},{state},exact={_exact(candle)} {time_ns}"


def gap_point(gap: Gap) -> str:
    """Return the line of ``gap``, at the time it begins."""
    fields = f"to_us={gap.to_us}i,filled={gap.filled},exact={_exact(gap)}"
    return f"gaps,{_market_tags(gap.market)} {fields} {gap.from_us * 1000}"


def forecast_points(batches: Sequence[PredictionBatch], scores: Sequence[ModelScore]) -> list[str]:
    """Return a line for each prediction that is kept, and for each score."""
    return [*map(prediction_point, kept(batches)), *map(score_point, scores)]


def prediction_point(said: Prediction) -> str:
    """Return the line of a prediction, at the time it was issued."""
    quantiles = zip(_QUANTILES, said.quantiles, strict=True)
    fields = ",".join(f"{name}={price!r}" for name, price in quantiles)
    return (
        f"probabilities,{_series_tags(said)} p_up={said.p_up!r},p_flat={said.p_flat!r}"
        f",p_down={said.p_down!r},confidence={said.confidence!r},evidence={said.evidence!r}"
        f",price_ref={said.price_ref!r},{fields},n_labels={said.n_labels}i"
        f",exact={_exact(said)} {said.issued_at * 1_000_000}"
    )


def score_point(score: ModelScore) -> str:
    """Return the line of a score; of 15 candles the last one stays. Unknown figures are -1."""
    figures = {name: getattr(score, name) for name in _FIGURES}
    floats = ",".join(
        f"{name}={-1.0 if value is None else value!r}" for name, value in figures.items()
    )
    counts = ",".join(f"{name}={getattr(score, name)}i" for name in _COUNTS)
    time_ns = place_ms(score) * 1_000_000
    return (
        f"scores,{_series_tags(score)} {floats},{counts},evidence={score.evidence!r}"
        f",exact={_exact(score)} {time_ns}"
    )


def anomaly_point(one: Anomaly) -> str:
    """Return the line of an anomaly, at its place."""
    texts = {"kind": one.kind, "status": one.status, "event": one.event or ""}
    fields = ",".join(f'{name}="{tag(text)}"' for name, text in texts.items())
    return (
        f"anomalies,{_market_tags(one.market)} score={one.score!r},{fields}"
        f",reasons={len(one.reasons)}i,exact={_exact(one)} {one.place}"
    )


def _series_tags(record: Prediction | ModelScore) -> str:
    return f"{_market_tags(record.market)},interval={record.interval},horizon={record.horizon}"


def _market_tags(market: Market) -> str:
    venue, _, symbol = market.partition(":")
    parts = {"market": market, "venue": venue, "symbol": symbol}
    return ",".join(f"{key}={tag(value)}" for key, value in parts.items() if value)


def _exact(record: msgspec.Struct) -> str:
    text = codec.encode(record).decode()
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
