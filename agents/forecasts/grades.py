"""How good a learner is at one market, as the record that is published of it."""

from collections.abc import Iterator, Sequence

import numpy as np

from chaintide.agents.learning.horizon import HorizonLogic, Settled
from chaintide.agents.learning.intake import version as version_of
from chaintide.agents.learning.learner import Learner
from chaintide.agents.learning.pending import PENDING
from chaintide.agents.learning.rules import features_hash
from chaintide.streams.probabilities import ModelScore, ReliabilityBin, Step, StepKind


def model_score(
    learner: Learner, horizon: int, row: int, version: tuple[int, int], steps: Sequence[Step]
) -> ModelScore:
    """Return the scores of the market at ``row``; ``version`` is generation and offset."""
    logic = learner.horizons[horizon]
    score = logic.scores.of(row)
    own = logic.champion.own.table.floats["speed"][row]
    contest = logic.contest.table.ints
    figures = {name: getattr(score, name) for name in score.__struct_fields__ if name != "bins"}
    return ModelScore(
        market=learner.markets[row],
        interval=learner.interval,
        horizon=horizon,
        as_of_ms=learner.close_ms(int(learner.table.ints["last"][row])),
        model_id=f"{learner.interval}/{horizon}",
        model_version=version_of(learner.rules, float(own)),
        features_hash=features_hash(),
        generation=version[0],
        offset=version[1],
        evidence=float(logic.evidence.value(np.array([row]))[0]),
        drift_alarms=int(logic.drift.table.ints["alarms"][row]),
        has_challenger=bool(contest["active"][row]),
        challengers=int(contest["begun"][row]),
        promotions=int(contest["promoted"][row]),
        bins=[ReliabilityBin(one.labels, one.said, one.came) for one in score.bins],
        steps=list(steps),
        **_counts(logic, row),
        **figures,
    )


def steps_of(learner: Learner, settled: Settled) -> Iterator[tuple[int, Step]]:
    """Yield what labels led to, with the row of its market, in the order of cause and effect."""
    kinds: dict[StepKind, Sequence[int]] = {
        "promoted": settled.ended.promoted.tolist(),
        "given_up": settled.ended.given_up.tolist(),
        "drift": settled.drifted.tolist(),
        "challenger": settled.begun.tolist(),
    }
    for kind, rows in kinds.items():
        for row in rows:
            known = int(settled.known[np.flatnonzero(settled.rows == row)[0]])
            yield row, Step(learner.close_ms(known), kind)


def _counts(logic: HorizonLogic, row: int) -> dict[str, int]:
    ints = logic.pending.table.ints
    counted = {name: int(ints[name][row]) for name in ("issued", "resolved", "void", "amended")}
    return counted | {"pending": int((ints["state"][row] == PENDING).sum())}
