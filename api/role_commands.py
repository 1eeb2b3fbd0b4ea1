"""The commands of the roles that Faust runs, and the options that roles share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from chaintide.api import roles
from chaintide.api.terminal import err, settings_at

DataDir = Annotated[
    Path | None, typer.Option(help="Where the embedded Kafka and SQLite keep their data.")
]
Instance = Annotated[str, typer.Option(help="A name that no other process of this role has.")]


def add(app: typer.Typer, now_ms: Callable[[], int]) -> None:
    """Give ``app`` the commands."""

    @app.command()
    def worker(*, data_dir: DataDir = None, instance: Instance = "w1") -> None:
        """Turn trades into candles; start as many as there are cores or machines."""
        _run("worker", roles.work, (data_dir, instance), now_ms)

    @app.command()
    def forecast(*, data_dir: DataDir = None, instance: Instance = "f1") -> None:
        """Learn probabilities from candles; start as many as there are cores or machines."""
        _run("forecaster", roles.forecast, (data_dir, instance), now_ms)

    @app.command()
    def detect(*, data_dir: DataDir = None, instance: Instance = "a1") -> None:
        """Find anomalies in trades and events; start as many as there are cores or machines."""
        _run("detector", roles.detect, (data_dir, instance), now_ms)


def _run(
    name: str,
    role: Callable[..., None],
    options: tuple[Path | None, str],
    now_ms: Callable[[], int],
) -> None:
    data_dir, instance = options
    settings = settings_at(data_dir)
    if (config := settings.kafka_config()) is None:
        err.print(f"A {name} alone needs CHAINTIDE_KAFKA=host:port; `chaintide up` brings its own.")
        raise typer.Exit(2)
    role(settings, config, instance, now_ms=now_ms())
