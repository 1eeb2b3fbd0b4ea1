"""When something strange is worth telling: so seldom that people go on listening."""

import math
from typing import Final

import msgspec
from msgspec.structs import replace

from chaintide.agents.anomalies.cells import DAY_S, KINDS, Cell, Habits
from chaintide.agents.anomalies.words import reason
from chaintide.streams.anomalies import METHODOLOGY, Anomaly, Feature
from chaintide.streams.records import Market

EPISODE_S: Final = 30
GROWTH: Final = 10.0
_GAIN: Final = 1.0
_STRICTEST: Final = 3.0  # rarer than e to this, below the budget, is always told


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One trade, or one event of a contract with its ``log``."""

    time_us: int
    trade_id: int | None = None
    log: str | None = None
    block: int | None = None
    address: str | None = None

    def id_in(self, market: Market) -> str:
        """Return the name of an anomaly that begins here."""
        return f"{market}|{self.time_us}|{self.log or self.trade_id}"


class Alarms(msgspec.Struct):
    """How rare something must be now, and what was told last.

    It must be rarer than ``budget`` a day, shared by all kinds; after each anomaly e times rarer
    than before, and the patience comes back with ``budget`` a day. So in any span of days no more
    than budget times days are told on average, plus twenty, however wrong the tails are.
    """

    strictness: float = 0.0
    since_s: int = 0
    rarity: float = 1.0
    told: Anomaly | None = None

    def allowed(self, second: int, budget: float) -> float:
        """Return how often a day something may come to be told now."""
        if self.is_going_on(second):
            return self.rarity / GROWTH
        return budget / len(KINDS) * math.exp(-self._strictness(second, budget))

    def is_going_on(self, second: int) -> bool:
        """Return whether what is strange now belongs to what was told last."""
        return self.told is not None and 0 <= second - self.since_s < EPISODE_S

    def on_row(
        self, row: Row, cell: Cell, habits: Habits, of: tuple[Market, str | None], budget: float
    ) -> Anomaly | None:
        """Return what is to be told of ``cell`` after ``row``."""
        allowed = self.allowed(cell.second, budget)
        rarities = dict(zip(KINDS, habits.rarity(habits.features(cell)), strict=True))
        strange = _strange(rarities, allowed)
        if not strange:
            return None
        rarest = strange[0][0]
        reasons = [reason(kind, rare, cell, habits) for rare, kind in strange]
        if self.told is not None and self.is_going_on(cell.second):
            known = {each.feature for each in reasons}
            reasons += [each for each in self.told.reasons if each.feature not in known]
            told = self.told
        else:
            self.strictness = min(self._strictness(cell.second, budget) + _GAIN, _STRICTEST)
            self.since_s = cell.second
            told = _begun(row, of)
        self.rarity = rarest
        self.told = replace(told, kind=reasons[0].feature, score=1 / (1 + rarest), reasons=reasons)
        return self.told

    def _strictness(self, second: int, budget: float) -> float:
        back = _GAIN * budget * max(0, second - self.since_s) / DAY_S
        return max(0.0, self.strictness - back)


def _strange(rarities: dict[Feature, float], allowed: float) -> list[tuple[float, Feature]]:
    """Return what is rare enough, the rarest first; a combination only where nothing else is."""
    found = sorted((rare, kind) for kind, rare in rarities.items() if rare <= allowed)
    return [each for each in found if each[1] != "combination"] or found


def _begun(row: Row, of: tuple[Market, str | None]) -> Anomaly:
    market, event = of
    return Anomaly(
        anomaly_id=row.id_in(market),
        market=market,
        event=event,
        time_us=row.time_us,
        kind="size",
        score=0.0,
        reasons=[],
        trade_id=row.trade_id,
        log=row.log,
        block=row.block,
        address=row.address,
        status="raised",
        methodology=METHODOLOGY,
    )
