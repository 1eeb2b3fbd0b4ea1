"""What the steps of a follower do: blocks go into Kafka, what cannot be true is counted."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaintide.streams.chain.node import Node
from chaintide.streams.chain.pipe import Pipe, Writing
from chaintide.streams.chain.publishing import Publishing, Reading
from chaintide.streams.chain.steps import Apply, ApplyRange, Halt, Reject, Step
from chaintide.streams.chain.tokens import Learning, Tokens
from chaintide.streams.feeds.status import FeedStatus

logger = logging.getLogger(__name__)
MAX_REPORTED: Final = 1_000  # markets that a report names


@dataclass(slots=True)
class Effects:
    """Carries steps out in their order; ``rejects`` says how often what was rejected."""

    node: Node
    publishing: Publishing
    ledger: Writing
    status: FeedStatus
    now_ms: Callable[[], int]
    learning: Learning = field(init=False)
    pipe: Pipe = field(init=False)
    rejects: dict[str, int] = field(default_factory=dict[str, int])
    rejected: str = ""  # the last time

    def __post_init__(self) -> None:
        tokens = Tokens(self.node, self.publishing.pools)
        self.learning = Learning(tokens, self.publishing, self.note)
        self.pipe = Pipe(self.ledger)

    async def do(self, steps: Sequence[Step]) -> None:
        """Carry ``steps`` out; what they write is written for certain once the pipe is drained."""
        for step in steps:
            match step:
                case Reject():
                    self.count(step)
                    self.node.rpc.elsewhere()
                case Halt(reason):
                    logger.error("%s", reason)
                case Apply() | ApplyRange():
                    await self._apply(self.publishing.read(step))
                case _:
                    await self.pipe.put(self.publishing.plan(step))

    def count(self, reject: Reject) -> None:
        """Count what was rejected, and tell of it."""
        self.rejects[reject.reason] = self.rejects.get(reject.reason, 0) + 1
        self.status.bad_messages += 1
        self.rejected = str(reject)
        logger.warning("chain=%s rejected: %s", self.publishing.chain, reject)

    def note(self, error: Exception) -> None:
        """Tell why nothing goes on."""
        self.status.state, self.status.last_error = "connecting", str(error)[:200]
        logger.warning("chain=%s waits: %s", self.publishing.chain, error)

    async def _apply(self, reading: Reading) -> None:
        aliases = await self.learning.learn(reading)
        if aliases:
            self.status.markets = self.publishing.pools.markets(MAX_REPORTED)
        await self.pipe.put(self.publishing.applying(reading, aliases), is_block=True)
        self.status.trades = self.publishing.trades
        self.status.lag_ms = max(0, self.now_ms() - reading.end.time_ms)
