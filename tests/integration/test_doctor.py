"""What doctor finds, what it advises, and how the command ends."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaintide.api import doctor, terminal
from chaintide.api.cli import app
from chaintide.api.doctor import Finding, examine
from chaintide.api.settings import Settings, read_settings
from chaintide.streams.kafka import KafkaConfig


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CHAINTIDE_{name.upper()}", raising=False)
    monkeypatch.setenv("CHAINTIDE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(terminal.out, "width", 400)
    for venue in ("kraken", "coinbase", "binance"):  # else they would be asked
        monkeypatch.setenv(f"CHAINTIDE_{venue.upper()}_REST_URL", "http://127.0.0.1:1")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, and where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def findings() -> dict[str, Finding]:
    return {finding.subject: finding async for finding in examine(read_settings())}


def run() -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor"])
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.broker
async def test_nothing_configured_is_the_embedded_kafka_and_sqlite_and_both_are_fine():
    found = await findings()
    assert [found[name].state for name in ("data directory", "Kafka", "worker", "sink")] == (
        ["ok"] * 4
    )
    assert found["Kafka"].found.startswith("embedded, 127.0.0.1:")
    assert found["worker"].found == found["sink"].found == "0 messages behind"
    assert (found["store"].state, found["store"].found) == ("ok", "SQLite, 0 markets")


@pytest.mark.broker
async def test_a_configured_kafka_is_named_and_a_venue_that_is_away_is_only_a_warning(
    kafka: KafkaConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHAINTIDE_KAFKA", kafka.bootstrap)
    found = await findings()
    assert found["Kafka"].found.startswith(f"configured, {kafka.bootstrap}")
    assert {found[venue].state for venue in ("kraken", "coinbase", "binance")} == {"warning"}
    assert "chaintide up --demo" in found["kraken"].advice


@pytest.mark.broker
def test_the_command_ends_with_0_where_only_venues_are_away(
    kafka: KafkaConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHAINTIDE_KAFKA", kafka.bootstrap)
    status, said = run()
    assert status == 0, said
    assert "no live trades from kraken" in said


async def test_a_kafka_that_does_not_answer_is_a_fault_and_the_rest_is_still_looked_at(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHAINTIDE_KAFKA", f"127.0.0.1:{closed_port}")
    found = await findings()
    assert found["Kafka"].state == "fault"
    assert f"Kafka at 127.0.0.1:{closed_port} does not answer" in found["Kafka"].found
    assert "CHAINTIDE_KAFKA" in found["Kafka"].advice
    assert "worker" not in found, "how far it is behind cannot be known"
    assert found["store"].state == "ok"


def test_the_command_says_what_to_do_about_a_fault_and_ends_with_1(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHAINTIDE_KAFKA", f"127.0.0.1:{closed_port}")
    status, said = run()
    assert status == 1
    assert "check CHAINTIDE_KAFKA and its CHAINTIDE_KAFKA_* login" in said


async def test_an_influxdb_that_does_not_answer_is_a_fault_and_named(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHAINTIDE_KAFKA", f"127.0.0.1:{closed_port}")
    monkeypatch.setenv("CHAINTIDE_INFLUX_URL", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("CHAINTIDE_INFLUX_TOKEN", "t")
    store = (await findings())["store"]
    assert store.state == "fault"
    assert f"InfluxDB http://127.0.0.1:{closed_port}" in store.found
    assert store.advice == "check CHAINTIDE_INFLUX_*"


@pytest.mark.parametrize("markets", ["BTC-USD", "nowhere:BTC-USD", "kraken:BTCUSD"])
async def test_markets_that_no_feed_has_are_a_fault_of_their_setting(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, markets: str
):
    monkeypatch.setenv("CHAINTIDE_KAFKA", f"127.0.0.1:{closed_port}")
    monkeypatch.setenv("CHAINTIDE_MARKETS", markets)
    feeds = (await findings())["feeds"]
    assert (feeds.state, feeds.advice) == ("fault", "change CHAINTIDE_MARKETS")


def test_a_setting_that_cannot_be_read_is_named_and_ends_the_command(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("CHAINTIDE_PARTITIONS", "many")
    status, said = run()
    assert status == 1
    assert "CHAINTIDE_PARTITIONS" in said
    assert "Traceback" not in said


async def test_a_full_disk_is_a_warning(closed_port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINTIDE_KAFKA", f"127.0.0.1:{closed_port}")
    monkeypatch.setattr(doctor, "ENOUGH_BYTES", 1 << 60)
    disk = (await findings())["data directory"]
    assert disk.state == "warning"
    assert "GiB free" in disk.found
    assert disk.advice
