"""Every number that decides how probabilities are learned, and the version they make up."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

SCHEMA: Final = 5
FEATURES: Final = (
    "return_1",
    "return_3",
    "return_12",
    "return_48",
    "rsi",
    "volatility_ratio",
    "volume_z",
    "close_location",
    "last_sign",
    "sign_run",
    "signed_flow",
    "day_sine",
    "day_cosine",
    "week_cosine",
    "pooled_return",
)
QUANTILES: Final = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
EXPERTS: Final = ("quick", "steady", "slow", "pooled", "base")
OWN: Final = 3  # of the experts: those that a market has for itself
SLOW: Final = 2  # the slowest of them, of which only what is no chance counts
BASE: Final = 4  # the place of the base rate among them


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How quickly everything learns and forgets; numbers of labels unless they say otherwise.

    Overlapping labels repeat each other, so spans are stretched by the horizon.
    """

    steps: tuple[float, float, float] = (0.012, 0.003, 0.0005)
    first_step: float = 4.0  # over (labels + settling): 1/n until ``steps`` are reached
    settling: float = 100.0
    largest_weight: float = 4.0
    scale_span: float = 500.0
    pool_span: float = 10_000.0
    pool_prior: float = 25.0
    doubt: float = 2.0
    base_span: float = 5_000.0
    base_prior: float = 50.0
    flat_prior: float = 0.01
    mixture_prior: tuple[float, ...] = (0.08, 0.08, 0.12, 0.12, 0.60)
    share: float = 1e-4
    platt_step: float = 0.004
    platt_room: float = 0.02
    least_probability: float = 0.02
    quantile_step: float = 0.012
    first_quantile_step: float = 1.0
    tolerance_bars: int = 4
    settled_bars: int = 8
    full_confidence: float = 500.0
    claim: float = 20.0
    bet_span: float = 1_000.0
    largest_bet: float = 0.5
    drift_allowance: float = 0.2
    drift_threshold: float = 38.0
    drift_least: int = 30
    drift_window: int = 512
    drift_every: int = 16
    trust_span: float = 1_000.0
    drift_delta: float = 0.02
    widening: float = 1.1
    challenger_speed: float = 3.0
    challenger_labels: int = 5_000


def digest(*parts: bytes) -> str:
    """Return a short name for these bytes that no other bytes have.

    >>> digest(b"a", b"b") == digest(b"ab")
    False
    """
    lengths = ",".join(str(len(part)) for part in parts)
    return hashlib.sha256(lengths.encode() + b":" + b"".join(parts)).hexdigest()[:12]


def features_hash() -> str:
    """Return the name of the features in their order."""
    return digest(*(name.encode() for name in FEATURES))


@cache
def code_hash() -> str:
    """Return the name of the code of this package."""
    sources = sorted(
        (path.name, path.read_bytes())
        for path in files("chaintide.agents.learning").iterdir()
        if path.name.endswith(".py")
    )
    return digest(*(part for name, source in sources for part in (name.encode(), source)))


def model_version(rules: Rules) -> str:
    """Return the version of what learns by ``rules``: its code, features and parameters."""
    return digest(code_hash().encode(), features_hash().encode(), msgspec.json.encode(rules))
