"""One partition of candles in a forecaster, and what is durable before candles are acked."""

import asyncio
import logging

from aiokafka import AIOKafkaProducer

from chaintide.agents.changelog import owner
from chaintide.agents.delivery import Ackable, Delivery, Outgoing
from chaintide.agents.forecasts.partition import ForecastsLogic
from chaintide.agents.partition import Input
from chaintide.streams import codec
from chaintide.streams.probabilities import score_key
from chaintide.streams.topics import DEAD_LETTERS, PROBABILITIES, PROBABILITY_STATE, SCORES

logger = logging.getLogger(__name__)

MAX_WAITING = 500
MAX_UNACKED = 20_000  # then all partitions wait until this one is durable
SCORES_AT_ONCE = 20
SNAPSHOT_EVERY_S = 30.0
LATEST_S = 90.0
PAUSE_S = 0.001  # so that Kafka is sent what one partition predicts while the next one learns
QUIET_S = 2.0  # after candles closed nothing else should keep the next prediction waiting


class ForecastShard:
    """Says at once what it predicts, and every half minute makes durable what it has learned.

    That waits until no candle has closed for a while, or after a minute and a half until all that
    came is learned: it takes a tenth of a second, and predictions go first. The order then:
    predictions and scores delivered, state delivered, ``ack``.
    """

    def __init__(self, partition: int, logic: ForecastsLogic, producer: AIOKafkaProducer) -> None:
        self.logic = logic
        self._partition = partition
        self.out = Delivery(partition, producer)
        self._unacked: list[Ackable] = []
        self._letters: list[Outgoing] = []
        self._waiting = 0
        self._all_learned = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._saved_s = self._learned_s = asyncio.get_running_loop().time()
        self._learned = 0
        self._is_leaving = False

    @property
    def is_full(self) -> bool:
        """Return whether so much waits that it must be learned from now."""
        return self._waiting >= MAX_WAITING or len(self._unacked) >= MAX_UNACKED

    async def own(self) -> "ForecastShard":
        """Write down that this generation owns the partition, before it writes anything else."""
        await self.out.send([(PROBABILITY_STATE, *owner(self.logic.generation))])
        await self.out.delivered()
        if self.logic.missed:
            logger.error(
                "state is missing, parts of it begin anew partition=%d offset=%d parts=%s",
                self._partition,
                self.logic.offset,
                ",".join(self.logic.missed),
            )
        return self

    def apply(self, message: Input, event: Ackable) -> None:
        """Take in one message; nothing is learned, sent or acknowledged yet."""
        for letter in self.logic.on_input(message):
            self._letters.append((DEAD_LETTERS, letter.key.encode(), codec.encode(letter)))
        self._unacked.append(event)
        self._waiting += 1
        self._all_learned.clear()

    async def emit(self, levels: range) -> None:  # noqa: ARG002  intervals are emitted together
        """Learn from what came and send what is predicted."""
        async with self._sending:
            if predictions := self._predictions():
                await self.out.send(predictions)
                await asyncio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Send what is predicted; if it is time, make all of it durable and acknowledge it."""
        async with self._flushing:
            if not self._unacked:
                return
            if not self._is_due():
                if self._waiting >= MAX_WAITING:
                    await self.emit(range(0))
                return
            while scores := self._scores(SCORES_AT_ONCE):
                await self.out.send(scores)
                await self._gives_way()
            async with self._sending:
                # Taken in one step: inputs applied while sending belong to the next snapshot.
                results = self._predictions() + self._scores(SCORES_AT_ONCE)
                changelog = [
                    (PROBABILITY_STATE, *entry) for entry in self.logic.checkpoint(self._partition)
                ]
                events, self._unacked = self._unacked, []
                await self.out.send(results)
            await self.out.settle(events, changelog)
            self._saved_s = asyncio.get_running_loop().time()

    async def release(self) -> None:
        """Make everything durable now, as the partition is given up."""
        self._is_leaving = True
        self._all_learned.set()
        await self.flush()

    @property
    def _is_forced(self) -> bool:
        return self._is_leaving or len(self._unacked) >= MAX_UNACKED

    async def _gives_way(self) -> None:
        """Let what came be learned; each score takes a tenth of a millisecond."""
        await asyncio.sleep(0)
        if not self._is_forced:
            await self._all_learned.wait()

    def _is_due(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if self._is_forced or (not self._waiting and now_s - self._saved_s >= LATEST_S):
            return True
        is_quiet = now_s - self._learned_s >= QUIET_S
        return is_quiet and now_s - self._saved_s >= SNAPSHOT_EVERY_S

    def _predictions(self) -> list[Outgoing]:
        self._waiting = 0
        self._all_learned.set()
        letters, self._letters = self._letters, []
        batches = self.logic.drain()
        if self.logic.learned != self._learned:
            self._learned = self.logic.learned
            self._learned_s = asyncio.get_running_loop().time()
        return letters + [(PROBABILITIES, None, codec.encode(batch)) for batch in batches]

    def _scores(self, most: int) -> list[Outgoing]:
        return [
            (SCORES, score_key(one.market, one.interval, one.horizon).encode(), codec.encode(one))
            for one in self.logic.grades(most)
        ]
