"""The command ``chaintide backtest``: a file in, figures and a picture out."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from chaintide.api.terminal import err
from chaintide.streams.errors import ChaintideError
from chaintide.streams.intervals import Interval

if TYPE_CHECKING:
    from chaintide.agents.learning.backtest import Report
    from chaintide.streams.recording import Reject

MAX_HORIZON: Final = 48
MAX_NAMED: Final = 20  # bad lines that are named one by one


def backtest(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")],
    *,
    interval: Annotated[Interval, typer.Option(help="Length of a candle.")] = "1h",
    horizon: Annotated[
        int, typer.Option(min=1, max=MAX_HORIZON, help="How many candles ahead.")
    ] = 1,
    fmt: Annotated[str, typer.Option("--format", help="What to print: text or json.")] = "text",
    picture: Annotated[
        Path | None, typer.Option(help="Draw calibration and skill: a .png or .svg file.")
    ] = None,
) -> None:
    """Say how good probabilities would have been on recorded trades or candles."""
    from chaintide.agents.learning.backtest import run
    from chaintide.api import backtest_files, backtest_report

    _check(fmt, picture)
    try:
        loaded = backtest_files.load(file, interval)
    except ChaintideError as error:
        err.print(f"[red]{error}[/]", soft_wrap=True)
        raise typer.Exit(1) from error
    _name(loaded.rejects, file)
    if not len(loaded.history.bars):
        err.print(f"{file} has no closed {interval} candle", soft_wrap=True, markup=False)
        raise typer.Exit(1)
    report = run(loaded.history, horizon)
    if report.counts.void and not report.counts.resolved:
        err.print(f"no label became known: are these candles longer than {interval}?")
    if picture is not None:
        _draw(report, picture)
    shown = (
        backtest_report.as_json(report, loaded)
        if fmt == "json"
        else backtest_report.as_text(report)
    )
    sys.stdout.write(shown)


def _draw(report: "Report", picture: Path) -> None:
    from chaintide.api.backtest_picture import draw

    try:
        draw(report, picture)
    except OSError as error:
        err.print(f"[red]{picture}: {error.strerror}[/]", soft_wrap=True)
        raise typer.Exit(1) from error


def _check(fmt: str, picture: Path | None) -> None:
    if fmt not in {"text", "json"}:
        raise typer.BadParameter(f"{fmt!r} is neither text nor json", param_hint="--format")
    if picture is None:
        return
    if picture.suffix.lower() not in {".png", ".svg"}:
        raise typer.BadParameter("the name must end with .png or .svg", param_hint="--picture")
    if not picture.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {picture.parent}", param_hint="--picture")


def _name(rejects: Sequence["Reject"], file: Path) -> None:
    for bad in rejects[:MAX_NAMED]:
        err.print(f"{file}:{bad.line}: {bad.reason}", soft_wrap=True, markup=False)
    if len(rejects) > MAX_NAMED:
        err.print(f"{len(rejects)} bad lines in all")
