"""What a backtest says, as JSON or in words."""

from typing import Final, Literal

import msgspec

from chaintide.agents.learning.backtest import Report, Variant, Verdict
from chaintide.agents.learning.rules import Rules
from chaintide.agents.learning.scores import Score
from chaintide.api.backtest_files import Loaded

Format = Literal["text", "json"]
_CLAIM: Final = Rules().claim


def as_json(report: Report, loaded: Loaded) -> str:
    """Return a report with all its numbers, indented."""
    shown = {
        "interval": report.interval,
        "horizon": report.horizon,
        "model_version": report.model_version,
        "features_hash": report.features_hash,
        "predictions": report.counts,
        "bad_lines": [{"line": bad.line, "reason": bad.reason} for bad in loaded.rejects],
        "markets": {market: figures(verdict) for market, verdict in report.markets.items()},
    }
    return msgspec.json.format(msgspec.json.encode(shown), indent=1).decode() + "\n"


def figures(verdict: Verdict) -> dict[str, object]:
    """Return the numbers of one market."""
    score = verdict.score
    last = verdict.last_price or Variant(score.brier, score.brier_base)
    return {
        "labels": score.labels,
        "flats": score.flats,
        "log_loss": score.log_loss,
        "log_loss_base": score.log_loss_base,
        "brier": score.brier,
        "brier_base": score.brier_base,
        "ece": score.ece,
        "ece_floor": score.ece_floor,
        "coverage_50": score.coverage_50,
        "coverage_80": score.coverage_80,
        "coverage_90": score.coverage_90,
        "gap1_brier": score.gap1_brier,
        "gap1_brier_base": score.gap1_brier_base,
        "immediate_brier": verdict.immediate.brier,
        "immediate_brier_base": verdict.immediate.brier_base,
        "last_price_brier": last.brier,
        "last_price_brier_base": last.brier_base,
        "evidence": verdict.evidence,
        "drift_alarms": verdict.drift_alarms,
    }


def as_text(report: Report) -> str:
    """Return a report in words."""
    counts = report.counts
    lines = [
        f"{report.interval} candles, {report.horizon} ahead (model {report.model_version})",
        (
            f"{counts.issued} predictions: {counts.resolved} resolved, "
            f"{counts.pending} pending, {counts.void} void"
        ),
    ]
    for market, verdict in report.markets.items():
        lines += ["", market, *_words(verdict)]
    return "\n".join(lines) + "\n"


def _words(verdict: Verdict) -> list[str]:
    score = verdict.score
    if not score.labels:
        return ["  no label became known"]
    last = verdict.last_price or Variant(score.brier, score.brier_base)
    rows = [
        ("labels", f"{score.labels}, {score.flats} of them unchanged prices"),
        ("log-loss", _beside(score.log_loss, score.log_loss_base)),
        ("Brier", _beside(score.brier, score.brier_base)),
        ("  after a gap", _beside(score.gap1_brier, score.gap1_brier_base)),
        ("  labels at once", _beside(verdict.immediate.brier, verdict.immediate.brier_base)),
        ("  last prices", _beside(last.brier, last.brier_base)),
        ("calibration", f"{score.ece:.4f} off, {score.ece_floor:.4f} by chance alone"),
        ("coverage", _coverage(score)),
        ("drift alarms", str(verdict.drift_alarms)),
        ("verdict", _verdict(verdict)),
    ]
    return [f"  {name:<18}{value}" for name, value in rows]


def _verdict(verdict: Verdict) -> str:
    odds = f"evidence {verdict.evidence:.3g}"
    if verdict.evidence < _CLAIM:
        return f"no better than the base rate so far ({odds}, {_CLAIM:g} would count)"
    score = verdict.score
    if score.gap1_brier is None or score.gap1_brier_base is None:
        return f"better than the base rate ({odds})"
    if score.gap1_brier < score.gap1_brier_base:
        return f"better than the base rate ({odds}), also one candle later"
    return f"better than the base rate ({odds}), but not one candle later: it may be bounce"


def _beside(own: float | None, base: float | None) -> str:
    if own is None or base is None:
        return "none"
    return f"{own:.5f}  base rate {base:.5f}  ({own - base:+.5f})"


def _coverage(score: Score) -> str:
    shares = {50: score.coverage_50, 80: score.coverage_80, 90: score.coverage_90}
    return "   ".join(f"{level} %: {_percent(share)}" for level, share in shares.items())


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"
