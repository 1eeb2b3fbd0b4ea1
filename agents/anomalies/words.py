"""What was strange, in words."""

import math
from typing import Final

from chaintide.agents.anomalies.cells import FEW, Cell, Habits
from chaintide.streams.anomalies import Feature, Reason

_FARTHEST: Final = 700.0  # what an exponential can hold


def reason(kind: Feature, a_day: float, cell: Cell, habits: Habits) -> Reason:
    """Return what was strange about ``cell``; as strange come ``a_day`` a day."""
    value, usual = _figures(kind, cell, habits)
    times = f"{_brief(value / usual)} times" if usual > 0 else "far above"
    words = {
        "size": f"size {_brief(value)} at once, {times} the usual largest of a second",
        "pace": f"{value:,.0f} times within ten seconds, where {_few(usual)} are usual",
        "impact": f"price moved {value:.2%} within {_span(cell.gap_s)}, {times} the usual",
        "newness": f"{value:,.0f} addresses not seen before within ten seconds, "
        f"where {_few(usual)} are usual",
        "combination": "several things, each only unusual, came together",
    }
    return Reason(feature=kind, value=value, usual=usual, words=f"{words[kind]}; {often(a_day)}")


def often(a_day: float) -> str:
    """Return in words how often something comes.

    >>> often(0.5), often(0.01), often(1e-9)
    ('once in 2 days', 'once in 100 days', 'less than once in ten years')
    """
    if a_day >= 0.75:
        return f"{_brief(a_day)} a day" if a_day >= 1.5 else "about once a day"
    if a_day < 1 / 3_650:
        return "less than once in ten years"
    return f"once in {_brief(1 / a_day)} days"


def _figures(kind: Feature, cell: Cell, habits: Habits) -> tuple[float, float]:
    match kind:
        case "size":
            return cell.largest, math.exp(habits.size)
        case "pace":
            return cell.pace + cell.count, math.exp(habits.pace)
        case "impact":
            root = math.sqrt(cell.gap_s)
            moves = (cell.furthest * root, habits.impact * root)
            return math.expm1(moves[0]), math.expm1(min(moves[1], _FARTHEST))
        case "newness":
            return cell.newness + cell.fresh, math.exp(habits.newness)
        case "combination":
            return float(len(habits.tails) - 1), 0.0


def _brief(value: float) -> str:
    if not 0.001 <= abs(value) < 1e7:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _few(number: float) -> str:
    return _brief(number) if number > 1.02 * FEW else f"{FEW:.0f} or fewer"


def _span(seconds: int) -> str:
    if seconds <= 1:
        return "a second"
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
