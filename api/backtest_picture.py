"""The picture of a backtest: how true probabilities were, and what they gained over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from chaintide.agents.learning.backtest import Report, Verdict
from chaintide.agents.learning.scores import Bin
from chaintide.streams.intervals import DAY_MS
from chaintide.streams.records import Market

MAX_MARKETS: Final = 8  # drawn; more lines cannot be told apart
_CANVASES: Final = {".png": FigureCanvasAgg, ".svg": FigureCanvasSVG}
Chosen = Sequence[tuple[Market, Verdict]]


def draw(report: Report, path: Path) -> None:
    """Write the picture to ``path``, whose name ends with ``.png`` or ``.svg``."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    canvas = _CANVASES[path.suffix.lower()](figure)
    left, right = figure.subplots(1, 2)
    chosen = sorted(report.markets.items(), key=lambda item: -item[1].score.labels)[:MAX_MARKETS]
    _reliability(left, chosen, report.horizon)
    _skill(right, chosen)
    figure.suptitle(
        f"{report.interval} candles, {report.horizon} ahead"
        + ("" if len(chosen) == len(report.markets) else f", {MAX_MARKETS} markets of most labels")
    )
    canvas.print_figure(path)


def _reliability(axes: Axes, chosen: Chosen, horizon: int) -> None:
    for market, verdict in chosen:
        bins = verdict.score.bins
        axes.errorbar(
            [one.said for one in bins],
            [one.came for one in bins],
            yerr=[_chance(one, horizon) for one in bins],
            fmt="o",
            markersize=4,
            capsize=2,
            label=market,
        )
    low, high = _range([one for _, verdict in chosen for one in verdict.score.bins])
    axes.plot([low, high], [low, high], color="gray", linestyle="--", linewidth=1)
    axes.set_title("Do things happen as often as was said? (bars: chance)")
    axes.set_xlabel("probability of a higher price, as said")
    axes.set_ylabel("how often it came")
    axes.legend(fontsize="small")


def _skill(axes: Axes, chosen: Chosen) -> None:
    for market, verdict in chosen:
        curve = verdict.curve
        days = [ms / DAY_MS for ms in curve.times_ms]
        [line] = axes.plot(days, curve.gains, linewidth=1.2, label=market)
        for ms in curve.drifts_ms:
            axes.axvline(ms / DAY_MS, color=line.get_color(), linestyle=":", linewidth=1)
    axes.axhline(0, color="gray", linestyle="--", linewidth=1)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_title("Is it better than the base rate? (dotted: drift)")
    axes.set_ylabel("log-loss gained so far, nats (up is better)")
    axes.legend(fontsize="small")


def _chance(one: Bin, horizon: int) -> float:
    """Return two standard deviations of how often it comes if what was said is true."""
    apart = one.labels / horizon
    return 2.0 * float((one.said * (1.0 - one.said) / apart) ** 0.5)


def _range(bins: list[Bin]) -> tuple[float, float]:
    said = [one.said for one in bins] or [0.4, 0.6]
    return min(said) - 0.02, max(said) + 0.02
