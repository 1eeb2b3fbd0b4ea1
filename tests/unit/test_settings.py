import pytest

from chaintide.api.settings import Settings, read_settings
from chaintide.streams.errors import ConfigError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CHAINTIDE_{name.upper()}", raising=False)


def test_nothing_configured_is_the_embedded_kafka_and_sqlite():
    settings = read_settings()
    assert settings.kafka_config() is None
    assert settings.influx_url == ""
    assert settings.partitions == 12
    assert {name.partition(":")[0] for name in settings.market_names} == {
        "kraken",
        "coinbase",
        "binance",
    }


def test_markets_are_a_list_without_blanks_and_repeats(monkeypatch):
    monkeypatch.setenv("CHAINTIDE_MARKETS", " kraken:BTC-USD,, coinbase:ETH-USD,kraken:BTC-USD")
    settings = read_settings()
    assert settings.market_names == ["kraken:BTC-USD", "coinbase:ETH-USD"]


def test_a_configured_kafka_comes_with_its_credentials(monkeypatch):
    monkeypatch.setenv("CHAINTIDE_KAFKA", "one:9092,two:9092")
    monkeypatch.setenv("CHAINTIDE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("CHAINTIDE_KAFKA_SASL_USERNAME", "ann")
    monkeypatch.setenv("CHAINTIDE_KAFKA_SASL_PASSWORD", "pass")
    monkeypatch.setenv("CHAINTIDE_KAFKA_SSL_CAFILE", "/etc/ca.pem")
    config = read_settings().kafka_config()
    assert (config.bootstrap, config.ssl_cafile) == ("one:9092,two:9092", "/etc/ca.pem")
    assert (config.sasl_username, config.sasl_password) == ("ann", "pass")


def test_a_secret_may_be_in_a_file_and_the_variable_itself_wins(monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text("from a file\n")
    monkeypatch.setenv("CHAINTIDE_INFLUX_TOKEN_FILE", str(file))
    assert read_settings().influx_token.get_secret_value() == "from a file"
    monkeypatch.setenv("CHAINTIDE_INFLUX_TOKEN", "from the variable")
    assert read_settings().influx_token.get_secret_value() == "from the variable"


def test_a_secret_file_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINTIDE_INFLUX_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"CHAINTIDE_INFLUX_TOKEN_FILE=.*none cannot be read"):
        read_settings()


def test_only_secrets_may_be_in_files(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINTIDE_PARTITIONS_FILE", str(tmp_path / "none"))
    assert read_settings().partitions == 12


@pytest.mark.parametrize(
    ("name", "value"),
    [("PARTITIONS", "0"), ("GRACE_MS", "soon"), ("KAFKA_SECURITY_PROTOCOL", "TLS")],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(f"CHAINTIDE_{name}", value)
    with pytest.raises(ConfigError, match=f"CHAINTIDE_{name}: "):
        read_settings()


def test_a_login_needs_a_name_and_a_password(monkeypatch):
    monkeypatch.setenv("CHAINTIDE_KAFKA", "one:9092")
    monkeypatch.setenv("CHAINTIDE_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    with pytest.raises(ConfigError, match="needs CHAINTIDE_KAFKA_SASL_USERNAME"):
        read_settings()


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("CHAINTIDE_COINGECKO_API_KEY", "unseen-key")
    assert "unseen-key" not in repr(read_settings())
