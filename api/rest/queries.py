"""What each route may be asked; anything else is refused by name."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from chaintide.streams.intervals import Interval

DEFAULT_LIMIT: Final = 500
MAX_LIMIT: Final = 1_000
MAX_MS: Final = 253_402_300_799_999  # the end of the year 9999
MAX_S: Final = 10**11
_ZONE = slice(-6, -5)


def time_ms(value: object) -> int:
    """Return milliseconds from a number or from ISO 8601, UTC unless it says otherwise.

    >>> time_ms("1970-01-01T00:01:00Z"), time_ms("60000"), time_ms("1970-01-01T01:01 01:00")
    (60000, 60000, 60000)

    Raises:
        ValueError: If it is neither.
    """
    text = str(value)
    if text.isascii() and text.isdigit():
        return int(text)
    if len(text) > 6 and text[_ZONE] == " ":  # a plus sign that was not encoded
        text = f"{text[:-6]}+{text[-5:]}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("neither milliseconds nor ISO 8601") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


TimeMs = Annotated[
    int,
    BeforeValidator(time_ms),
    Field(ge=0, le=MAX_MS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_MS},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]
MarketName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="`venue:SYMBOL`, or what `/v1/markets` says people call it.",
        examples=["kraken:BTC-USD"],
    ),
]
Cursor = Annotated[
    str | None,
    Field(
        max_length=100, description="`next` of the page before; the other parameters as they were."
    ),
]


class Query(BaseModel):
    """No parameters, and none that are unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CandlesQuery(Query):
    """Which candles."""

    market: MarketName
    interval: Interval = Field(default="1m", description="Length of a candle.")
    start: TimeMs | None = Field(
        default=None,
        description="First open time. Without it the newest candles come.",
        examples=["2025-11-01T09:45:00Z"],
    )
    end: TimeMs | None = Field(default=None, description="Open times before this one.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Candles a page.")
    closed_only: bool = Field(default=False, description="Leave the open candle out.")
    fill: Literal["carry", "omit"] = Field(
        default="carry", description="Show quiet windows as flat candles, or not at all."
    )
    cursor: Cursor = None

    @property
    def scope(self) -> str:
        """What a cursor belongs to."""
        parts = (self.market, self.interval, self.start, self.end, self.closed_only, self.fill)
        return "|".join(map(str, parts))


class TradesQuery(Query):
    """Which recent trades."""

    market: MarketName
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Newest trades.")


class GapsQuery(Query):
    """Which gaps."""

    market: MarketName
    start: TimeMs | None = Field(default=None, description="Gaps that end after this.")
    end: TimeMs | None = Field(default=None, description="Gaps that begin before this.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Newest gaps.")


class PoolsQuery(Query):
    """Which pools."""

    market: MarketName | None = None
    chain: str | None = Field(
        default=None, min_length=1, max_length=40, description="The id of a chain: only its pools."
    )
    after: str = Field(default="", max_length=200, description="`next` of the page before.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Pools a page.")


class ProbabilitiesQuery(Query):
    """Which predictions."""

    market: MarketName
    interval: Interval = Field(default="1m", description="Length of a candle.")
    horizon: int | None = Field(
        default=None, ge=1, le=48, description="How many candles ahead. Without it all of them."
    )
    expired: bool = Field(default=False, description="Show those that are too old, too.")


class AnomaliesQuery(Query):
    """Which anomalies."""

    market: MarketName
    start: TimeMs | None = Field(
        default=None, description="Not before this. Without it the newest come."
    )
    end: TimeMs | None = Field(default=None, description="Before this.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Anomalies a page.")
    cursor: Cursor = None

    @property
    def scope(self) -> str:
        """What a cursor belongs to."""
        return "|".join(map(str, ("anomalies", self.market, self.start, self.end)))


class ModelsQuery(Query):
    """Which models."""

    market: MarketName | None = None
    interval: Interval | None = Field(default=None, description="Length of a candle.")
    after: str = Field(default="", max_length=300, description="`next` of the page before.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Models a page.")


class CalibrationQuery(Query):
    """Of which market."""

    market: MarketName


class TickersQuery(Query):
    """Which tickers."""

    market: MarketName | None = None


class SymbolQuery(Query):
    """One symbol of the charting library."""

    symbol: MarketName


class SearchQuery(Query):
    """What a person typed into the symbol search."""

    query: str = Field(default="", max_length=200)
    type: str = Field(default="", max_length=50)
    exchange: str = Field(default="", max_length=50)
    limit: int = Field(default=30, ge=1, le=MAX_LIMIT)


class HistoryQuery(Query):
    """Bars of the charting library; times in seconds."""

    symbol: MarketName
    resolution: str = Field(min_length=1, max_length=10, examples=["1"])
    from_s: int = Field(alias="from", ge=0, le=MAX_S, description="Leftmost bar, inclusive.")
    to_s: int = Field(alias="to", ge=0, le=MAX_S, description="Rightmost bar, exclusive.")
    countback: int | None = Field(
        default=None, ge=1, le=5_000, description="So many bars before `to`; then `from` is moot."
    )
