import json
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from chaintide.api.cli import app
from chaintide.api.settings import Settings
from chaintide.streams.jars import KAFKA_VERSION

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
ROLES = ["ingest", "worker", "forecast", "detect", "sink", "serve"]
COMMANDS = typer.main.get_command(app).commands


def test_it_is_what_the_compose_specification_allows():
    vendored = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    place = metadata.distribution("check-jsonschema").locate_file(vendored)
    schema = json.loads(place.read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_runs_a_command_that_exists(role):
    words = " ".join(SERVICES[role]["command"]).removeprefix("exec chaintide ").split()
    assert words[0] == role
    assert role in COMMANDS


@pytest.mark.parametrize("role", ["worker", "forecast", "detect"])
def test_every_copy_of_a_worker_has_a_name_of_its_own(role):
    assert SERVICES[role]["entrypoint"] == ["sh", "-c"]
    assert SERVICES[role]["command"] == [f"exec chaintide {role} --instance $$HOSTNAME"]
    options = {name for option in COMMANDS[role].params for name in option.opts}
    assert "--instance" in options


@pytest.mark.parametrize("role", [role for role in ROLES if role != "serve"])
def test_each_role_that_has_no_port_asks_the_doctor_for_its_health(role):
    assert SERVICES[role]["healthcheck"]["test"] == ["CMD", "chaintide", "doctor"]
    assert "doctor" in COMMANDS


def test_the_api_asks_itself_whether_it_is_ready():
    [_, _, _, program] = SERVICES["serve"]["healthcheck"]["test"]
    [port] = [param.default for param in COMMANDS["serve"].params if param.name == "port"]
    assert f"http://127.0.0.1:{port}/readyz" in program
    assert SERVICES["serve"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert SERVICES["serve"]["environment"]["CHAINTIDE_HTTP_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("role", ROLES)
def test_each_role_waits_until_what_it_needs_is_healthy(role):
    needs = SERVICES[role]["depends_on"]
    assert needs == {name: {"condition": "service_healthy"} for name in ("kafka", "influxdb")}


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_a_setting(role):
    names = {name.removeprefix("CHAINTIDE_").lower() for name in SERVICES[role]["environment"]}
    assert names <= set(Settings.model_fields)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_limit_and_a_health_check(name):
    assert SERVICES[name]["deploy"]["resources"]["limits"]["memory"]
    assert SERVICES[name]["healthcheck"]["test"]


def test_secrets_are_never_in_the_file():
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if "TOKEN" in name or "PASSWORD" in name:
                assert value.startswith("${")


def test_kafka_and_influxdb_keep_their_data_in_volumes():
    volumes = {
        mount.split(":")[0] for name in ("kafka", "influxdb") for mount in SERVICES[name]["volumes"]
    }
    assert volumes == set(COMPOSE["volumes"])


def test_kafka_is_the_one_that_is_embedded():
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_image_checks_its_health_and_does_not_run_as_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER chaintide" in lines
    assert '    CMD ["chaintide", "doctor"]' in lines


def test_make_and_the_image_use_the_same_uv():
    [version] = [
        line.split()[-1]
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line.startswith("UV_VERSION")
    ]
    assert f"uv=={version}\n" in (ROOT / "Dockerfile").read_text()
