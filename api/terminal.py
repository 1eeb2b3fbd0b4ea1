"""What every command shares: its settings, its way to run and to end, and where it prints."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import typer
import uvloop
from rich.console import Console

from chaintide.api import running
from chaintide.api.running import Running
from chaintide.api.settings import Settings, read_settings
from chaintide.streams.errors import ChaintideError

out = Console()
err = Console(stderr=True)

# These report what they then retry by themselves; what stays wrong is raised.
QUIET = ("aiokafka.producer.sender", "aiokafka.consumer.group_coordinator", "aiokafka.cluster")


def settings_at(data_dir: Path | None) -> Settings:
    """Return the settings, with another data directory if one is given; end if one is wrong."""
    try:
        settings = read_settings()
    except ChaintideError as error:
        err.print(f"[red]{error}[/]", soft_wrap=True)
        raise typer.Exit(1) from error
    return settings if data_dir is None else settings.model_copy(update={"data_dir": data_dir})


def settings_in_use(data_dir: Path | None) -> tuple[Settings, Running | None]:
    """Return the settings, and whose they are if they are those of the newest that runs here.

    So it is unless a data directory is given or a Kafka is configured.
    """
    settings = settings_at(data_dir)
    is_chosen = data_dir is not None or {"data_dir", "kafka"} & settings.model_fields_set
    if is_chosen or not (everything := running.found()):
        return settings, None
    newest = everything[0]
    err.print(f"using {newest}; for another, --data-dir", soft_wrap=True, highlight=False)
    changes = {**newest.settings, "data_dir": Path(newest.data_dir)}
    return settings.model_copy(update=changes), newest


def run_until_told(main: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  whatever ``main`` returns
    """Run ``main``; SIGTERM ends it like Ctrl-C; our own errors become one line and status 1."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_until_told(main))
    except ChaintideError as error:
        err.print(f"[red]{error}[/]", soft_wrap=True)
        raise typer.Exit(1) from error
    except asyncio.CancelledError:
        err.print("stopped")
        raise typer.Exit(0) from None


async def _until_told(main: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    """Run ``main`` in this task, which SIGTERM and Ctrl-C cancel."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await main
