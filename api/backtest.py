"""The command ``chaintide backtest``: a file in, figures and a picture out."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from chaintide.api.terminal import err
from chaintide.streams.errors import ChaintideError
from chaintide.streams.intervals import Interval

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

    if fmt not in {"text", "json"}:
        raise typer.BadParameter(f"{fmt!r} is neither text nor json", param_hint="--format")
    if picture is not None and picture.suffix.lower() not in {".png", ".svg"}:
        raise typer.BadParameter("the name must end with .png or .svg", param_hint="--picture")
    try:
        loaded = backtest_files.load(file, interval)
    except ChaintideError as error:
        err.print(f"[red]{error}[/]", soft_wrap=True)
        raise typer.Exit(1) from error
    for bad in loaded.rejects[:MAX_NAMED]:
        err.print(f"{file}:{bad.line}: {bad.reason}", soft_wrap=True, markup=False)
    if len(loaded.rejects) > MAX_NAMED:
        err.print(f"{len(loaded.rejects)} bad lines in all")
    if not len(loaded.history.bars):
        err.print(f"{file} has no closed {interval} candle", soft_wrap=True, markup=False)
        raise typer.Exit(1)
    report = run(loaded.history, horizon)
    if picture is not None:
        from chaintide.api.backtest_picture import draw

        draw(report, picture)
    shown = (
        backtest_report.as_json(report, loaded)
        if fmt == "json"
        else backtest_report.as_text(report)
    )
    sys.stdout.write(shown)
