"""Every setting: its environment variable is its name in capitals after ``CHAINTIDE_``."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from chaintide.streams.errors import ConfigError
from chaintide.streams.intervals import INTERVALS, Interval
from chaintide.streams.kafka import KafkaConfig, SaslMechanism, SecurityProtocol
from chaintide.streams.topics import DEFAULT_PARTITIONS

_MARKETS = (
    "kraken:BTC-USD,kraken:ETH-USD,coinbase:BTC-USD,coinbase:ETH-USD,"
    "binance:BTC-USDT,binance:ETH-USDT"
)
_SECRETS = ("kafka_sasl_password", "coingecko_api_key", "influx_token", "cursor_key")
LogLevel = Literal["debug", "info", "warning"]


class Settings(BaseSettings):
    """What can be configured; nothing has to be."""

    model_config = SettingsConfigDict(env_prefix="CHAINTIDE_", env_ignore_empty=True, frozen=True)

    kafka: str = Field(
        default="", description="Kafka to use, `host:port,host:port`. Empty: the embedded one."
    )
    kafka_security_protocol: SecurityProtocol = Field(
        default="PLAINTEXT", description="How clients talk to Kafka."
    )
    kafka_sasl_mechanism: SaslMechanism = Field(
        default="PLAIN", description="How clients log in, with a `SASL_` protocol."
    )
    kafka_sasl_username: str = Field(default="", description="Name to log in to Kafka with.")
    kafka_sasl_password: SecretStr = Field(
        default=SecretStr(""), description="Password to log in to Kafka with."
    )
    kafka_ssl_cafile: Path | None = Field(
        default=None, description="Certificates that sign Kafka's, PEM. Empty: the system's."
    )
    kafka_ssl_certfile: Path | None = Field(
        default=None, description="Certificate of this client, PEM, if Kafka asks for one."
    )
    kafka_ssl_keyfile: Path | None = Field(
        default=None, description="Private key of that certificate, PEM."
    )
    partitions: int = Field(
        default=DEFAULT_PARTITIONS,
        ge=1,
        description="Partitions of every topic: the most workers that can share the work. "
        "Cannot change once the topics exist.",
    )
    data_dir: Path = Field(
        default=Path("data"), description="Where the embedded Kafka and SQLite keep their files."
    )
    markets: str = Field(
        default=_MARKETS, description="Markets to follow, `venue:SYMBOL`, separated by commas."
    )
    kraken_ws_url: str | None = Field(default=None, description="Another WebSocket than Kraken's.")
    kraken_rest_url: str | None = Field(default=None, description="Another REST API than Kraken's.")
    binance_ws_url: str | None = Field(
        default=None, description="Another WebSocket than Binance's."
    )
    binance_rest_url: str | None = Field(
        default=None, description="Another REST API than Binance's."
    )
    coinbase_feed: Literal["exchange", "advanced"] = Field(
        default="exchange",
        description="Coinbase's API to listen to: `exchange`, or `advanced` for Advanced Trade.",
    )
    coinbase_ws_url: str | None = Field(
        default=None, description="Another WebSocket than Coinbase's."
    )
    coinbase_rest_url: str | None = Field(
        default=None, description="Another REST API than Coinbase's."
    )
    coingecko_rest_url: str | None = Field(
        default=None, description="Another REST API than CoinGecko's."
    )
    coingecko_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key of CoinGecko's demo plan."
    )
    chains: Path | None = Field(
        default=None,
        description="File that names chains and their contracts, TOML or JSON; `chaintide up` "
        "follows all of them.",
    )
    influx_url: str = Field(
        default="",
        description="InfluxDB 2 to keep candles in. Empty: SQLite in the data directory.",
    )
    influx_token: SecretStr = Field(
        default=SecretStr(""), description="Token that may read and write the bucket."
    )
    influx_org: str = Field(default="chaintide", description="Organization of the bucket.")
    influx_bucket: str = Field(default="chaintide", description="Bucket of the candles.")
    grace_ms: int = Field(
        default=2_000,
        ge=0,
        description="How long a candle stays open after its end, in event time.",
    )
    horizon_ms: int = Field(
        default=86_400_000,
        ge=0,
        description="How long a closed candle can be corrected before it is final.",
    )
    horizons: str = Field(
        default="1,5,15",
        description="How many candles ahead probabilities are given, 1 to 48, separated by commas. "
        "Another choice learns anew.",
    )
    forecast_intervals: str = Field(
        default=",".join(INTERVALS),
        description="Candles that probabilities are given of, separated by commas.",
    )
    anomaly_budget: float = Field(
        default=2.0,
        gt=0,
        le=1_000,
        description="False alarms of anomalies that one market may have a day.",
    )

    hidden_venues: str = Field(
        default="",
        description="Venues and ids of chains that servers do not show, separated by commas.",
    )
    http_host: str = Field(
        default="127.0.0.1", description="Address that `chaintide serve` listens on."
    )
    cors_origins: str = Field(
        default="",
        description="Origins whose pages may read the API, as in `https://charts.example`, "
        "separated by commas.",
    )
    connections_per_address: int = Field(
        default=20, ge=1, description="WebSocket connections that one address may have at a time."
    )
    rate_per_minute: int = Field(
        default=1_200, ge=0, description="Requests a minute for each address; 0: no limit."
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks of proxies whose `X-Forwarded-For` names the client of "
        "`chaintide serve`, separated by commas. Empty: none is believed.",
    )
    cursor_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key that signs cursors, the same for every server. Empty: a random one in "
        "the data directory.",
    )
    log_level: LogLevel = Field(
        default="info",
        description="Least level that `chaintide serve` logs; `debug` has every request.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources; the first one to know a setting wins."""
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @model_validator(mode="after")
    def _has_a_login(self) -> Self:
        needs_login = self.kafka and self.kafka_security_protocol.startswith("SASL")
        if needs_login and not (self.kafka_sasl_username and self.kafka_sasl_password):
            raise ValueError(
                f"CHAINTIDE_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs "
                "CHAINTIDE_KAFKA_SASL_USERNAME and CHAINTIDE_KAFKA_SASL_PASSWORD"
            )
        return self

    @model_validator(mode="after")
    def _has_possible_forecasts(self) -> Self:
        horizons = _listed(self.horizons)
        if not horizons or any(not h.isdecimal() or not 1 <= int(h) <= 48 for h in horizons):
            raise ValueError("CHAINTIDE_HORIZONS has to name numbers from 1 to 48")
        intervals = _listed(self.forecast_intervals)
        if not intervals or not set(intervals) <= set(INTERVALS):
            known = ", ".join(INTERVALS)
            raise ValueError(f"CHAINTIDE_FORECAST_INTERVALS has to name some of {known}")
        return self

    @property
    def horizon_counts(self) -> list[int]:
        """The horizons of probabilities, the nearest first."""
        return sorted({int(horizon) for horizon in _listed(self.horizons)})

    @property
    def forecast_interval_names(self) -> list[Interval]:
        """The intervals of probabilities, the shortest first."""
        named = set(_listed(self.forecast_intervals))
        return [interval for interval in INTERVALS if interval in named]

    @property
    def market_names(self) -> list[str]:
        """The configured markets, in their order, each once."""
        return _listed(self.markets)

    @property
    def hidden(self) -> frozenset[str]:
        """The venues and chains that are not shown."""
        return frozenset(_listed(self.hidden_venues))

    @property
    def origins(self) -> list[str]:
        """The origins that may read the API."""
        return _listed(self.cors_origins)

    @property
    def proxies(self) -> list[str]:
        """The proxies that may say whom they speak for."""
        return _listed(self.trusted_proxies)

    def kafka_config(self) -> KafkaConfig | None:
        """Return where the configured Kafka is; None means the embedded one."""
        if not self.kafka:
            return None
        return KafkaConfig(
            bootstrap=self.kafka,
            security_protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username or None,
            sasl_password=self.kafka_sasl_password.get_secret_value() or None,
            ssl_cafile=_text(self.kafka_ssl_cafile),
            ssl_certfile=_text(self.kafka_ssl_certfile),
            ssl_keyfile=_text(self.kafka_ssl_keyfile),
        )


def read_settings() -> Settings:
    """Return the settings of this process's environment.

    Raises:
        ConfigError: If one is wrong; the message names its variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = (
            f"{_variable(detail['loc'])}{detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors()
        )
        raise ConfigError("; ".join(wrong)) from None


class _SecretFiles(EnvSettingsSource):
    """Secrets from the files that ``..._FILE`` variables name, as Docker and others mount them."""

    def __call__(self) -> dict[str, Any]:
        paths = {name: self.env_vars.get(f"chaintide_{name}_file") for name in _SECRETS}
        return {name: _content(name, path) for name, path in paths.items() if path}


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        variable = f"CHAINTIDE_{name.upper()}_FILE"
        raise ConfigError(f"{variable}={path} cannot be read: {error.strerror}") from error


def _listed(names: str) -> list[str]:
    return list(dict.fromkeys(name for part in names.split(",") if (name := part.strip())))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _variable(place: tuple[int | str, ...]) -> str:
    return f"CHAINTIDE_{str(place[0]).upper()}: " if place else ""
