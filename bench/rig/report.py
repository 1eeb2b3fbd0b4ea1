"""One JSON line a figure, with what is needed to judge it."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from chaintide.streams.jars import KAFKA_VERSION


def report(
    bench: str,
    value: float,
    unit: str,
    *,
    ratio: Mapping[str, float] | None = None,
    packages: tuple[str, ...] = (),
    **parameters: object,
) -> None:
    """Print one figure; ``ratio`` says how many times each peer it is."""
    line = {
        "bench": bench,
        "value": _short(value),
        "unit": unit,
        "ratio": {peer: _short(times) for peer, times in (ratio or {}).items()},
        "machine": {"cores": os.cpu_count(), "cpu": _cpu()},
        "versions": {
            "python": platform.python_version(),
            "kafka": KAFKA_VERSION,
            **{name: version(name) for name in packages},
        },
        "parameters": {k: _short(v) if isinstance(v, float) else v for k, v in parameters.items()},
    }
    print(json.dumps(line), flush=True)


def _short(value: float) -> float:
    return round(value) if abs(value) >= 1000 else float(f"{value:.3g}")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
