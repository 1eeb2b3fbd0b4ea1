"""The candle store for Grafana: InfluxDB 2."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiohttp import ClientError
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

from chaintide.sinks.anomaly_store import NEWEST, last_forms
from chaintide.sinks.conflation import Version, conflate, version
from chaintide.sinks.points import anomaly_point, forecast_points, market_of, points, tag
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.errors import ChaintideError, ConfigError, FatalError, RetryableError
from chaintide.streams.intervals import Interval
from chaintide.streams.probabilities import ModelScore, Prediction, PredictionBatch
from chaintide.streams.records import Candle, CandleBatch, Gap, Market

LINES_PER_REQUEST: Final = 5_000
TIMEOUT_MS: Final = 10_000
MS: Final = 1_000_000  # nanoseconds
# The times InfluxDB can hold: the years 1677 to 2262.
EVER_NS: Final = (-9_223_372_036_854 * MS, 9_223_372_036_854 * MS)
_candles: Final = msgspec.json.Decoder(Candle)
_gaps: Final = msgspec.json.Decoder(Gap)
_predictions: Final = msgspec.json.Decoder(Prediction)
_scores: Final = msgspec.json.Decoder(ModelScore)
_anomalies: Final = msgspec.json.Decoder(Anomaly)


@dataclass(frozen=True, slots=True)
class InfluxConfig:
    """Where InfluxDB is, and the bucket to use."""

    url: str
    org: str
    bucket: str
    token: str = field(repr=False)


class InfluxStore:
    """Candles in a bucket of InfluxDB; to be made inside a running event loop.

    Which batch of a market was the newest is known in memory only. A sink that starts again
    reads from its last commit on, in order, which ends in the same state. Points older than
    the bucket keeps are dropped by InfluxDB, which counts as stored.
    """

    def __init__(self, config: InfluxConfig) -> None:
        self._bucket = config.bucket
        self._client = InfluxDBClientAsync(
            config.url, config.token, config.org, timeout=TIMEOUT_MS, enable_gzip=True
        )
        self._newest: dict[Market, Version] = {}
        # One write at a time, so the points of a series arrive in order.
        self._writing = asyncio.Lock()

    async def write(self, batches: Sequence[CandleBatch]) -> None:
        """Store all of ``batches``, in as many requests as it takes."""
        async with self._writing:
            chosen = conflate(batches, self._newest)
            await self._send_all(points(chosen))
            self._newest |= {batch.market: version(batch) for batch in chosen}

    async def candles(
        self,
        market: Market,
        interval: Interval,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> list[Candle]:
        """Return the candles that open in ``[start_ms, end_ms)``, sorted by open time."""
        first_ns, stop_ns = _within(start_ms, end_ms, MS)
        if first_ns >= stop_ns:
            return []
        flux = self._exact("candles", (first_ns, stop_ns), market=market, interval=interval)
        flux += _page(start_ms, limit)
        return [_candles.decode(value) for value in await self._values(flux)]

    async def markets(self) -> list[Market]:
        """Return every market anything was stored of, sorted."""
        values = await self._values(
            'import "influxdata/influxdb/schema"\n'
            f'schema.tagValues(bucket: {json.dumps(self._bucket)}, tag: "market",'
            f" {_range(EVER_NS)})"
        )
        return sorted(market_of(value) for value in values)

    async def gaps(self, market: Market) -> list[Gap]:
        """Return the gaps of ``market``, sorted by their start."""
        flux = self._exact("gaps", market=market)
        return [_gaps.decode(value) for value in await self._values(flux)]

    async def write_forecasts(
        self, batches: Sequence[PredictionBatch], scores: Sequence[ModelScore]
    ) -> None:
        """Store all of them; how long they stay is for the bucket to say."""
        async with self._writing:
            await self._send_all(forecast_points(batches, scores))

    async def predictions(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[Prediction]:
        """Return the newest predictions of a series, sorted by their time of issue."""
        flux = self._series("probabilities", market, interval, horizon) + f" |> tail(n: {limit})"
        return [_predictions.decode(value) for value in await self._values(flux)]

    async def newest_predictions(self) -> list[Prediction]:
        """Return the newest prediction of every series."""
        flux = self._exact("probabilities") + " |> last()"
        return [_predictions.decode(value) for value in await self._values(flux)]

    async def score_history(
        self, market: Market, interval: Interval, horizon: int, limit: int
    ) -> list[ModelScore]:
        """Return the newest scores of a series, sorted by their time."""
        flux = self._series("scores", market, interval, horizon) + f" |> tail(n: {limit})"
        return [_scores.decode(value) for value in await self._values(flux)]

    async def write_anomalies(self, batches: Sequence[AnomalyBatch]) -> None:
        """Store all of them; how long they stay is for the bucket to say."""
        async with self._writing:
            await self._send_all([anomaly_point(one) for one in last_forms(batches)])

    async def anomalies(
        self,
        market: Market,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
    ) -> list[Anomaly]:
        """Return the anomalies whose place is in ``[start, end)``, sorted by it."""
        first_ns, stop_ns = _within(start, end, 1)
        if first_ns >= stop_ns:
            return []
        flux = self._exact("anomalies", (first_ns, stop_ns), market=market) + _page(start, limit)
        return [_anomalies.decode(value) for value in await self._values(flux)]

    async def newest_anomalies(self) -> list[Anomaly]:
        """Return the newest anomalies of all markets, sorted by their place."""
        flux = self._exact("anomalies") + (
            f" |> tail(n: {NEWEST}) |> group()"
            f' |> sort(columns: ["_time"], desc: true) |> limit(n: {NEWEST})'
        )
        return [_anomalies.decode(value) for value in await self._values(flux)][::-1]

    def _exact(self, measurement: str, span_ns: tuple[int, int] = EVER_NS, **tags: str) -> str:
        of = "".join(f' and r.{name} == "{tag(value)}"' for name, value in tags.items())
        return (
            f"from(bucket: {json.dumps(self._bucket)}) |> range({_range(span_ns)})"
            f' |> filter(fn: (r) => r._measurement == "{measurement}" and r._field == "exact"{of})'
        )

    def _series(self, measurement: str, market: Market, interval: Interval, horizon: int) -> str:
        tags = {"market": market, "interval": interval, "horizon": str(horizon)}
        return self._exact(measurement, EVER_NS, **tags)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _send_all(self, lines: list[str]) -> None:
        for first in range(0, len(lines), LINES_PER_REQUEST):
            await self._send("\n".join(lines[first : first + LINES_PER_REQUEST]))

    async def _send(self, lines: str) -> None:
        async with _sorted_errors():
            try:
                await self._client.write_api().write(self._bucket, record=lines)
            except InfluxDBError as error:
                if "outside retention policy" not in str(error.message):
                    raise

    async def _values(self, flux: str) -> list[str]:
        async with _sorted_errors():
            records = await self._client.query_api().query_stream(flux)
            return [record.get_value() async for record in records]


def _within(start: int | None, end: int | None, unit_ns: int) -> tuple[int, int]:
    first_ns, stop_ns = EVER_NS
    return (
        first_ns if start is None else max(first_ns, start * unit_ns),
        stop_ns if end is None else min(stop_ns, end * unit_ns),
    )


def _range(span_ns: tuple[int, int]) -> str:
    return f"start: time(v: {span_ns[0]}), stop: time(v: {span_ns[1]})"


def _page(start: int | None, limit: int | None) -> str:
    if limit is None:
        return ""
    return f" |> {'tail' if start is None else 'limit'}(n: {limit})"


@asynccontextmanager
async def _sorted_errors() -> AsyncIterator[None]:
    try:
        yield
    except (ClientError, TimeoutError, OSError) as error:
        raise RetryableError(f"InfluxDB: {type(error).__name__} {error}") from error
    except InfluxDBError as error:
        raise _sorted_answer(getattr(error, "status", 0), error) from error


def _sorted_answer(status: int, error: InfluxDBError) -> ChaintideError:
    reason = f"InfluxDB answers {status}: {error.message}"
    if status in {401, 403, 404}:
        return ConfigError(f"{reason}; check its organisation, bucket and token")
    if status in {408, 429} or not 400 <= status < 500:
        asked = str(error.retry_after or "")
        return RetryableError(reason, retry_after_s=float(asked) if asked.isdecimal() else 1.0)
    return FatalError(reason)
