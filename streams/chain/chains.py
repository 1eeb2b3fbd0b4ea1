"""Every configured chain, into Kafka, each on its own until all are told to stop."""

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from chaintide.streams import codec
from chaintide.streams.chain.chainfile import ChainConfig
from chaintide.streams.chain.follower import OTHER_RECEIPTS, ChainRules
from chaintide.streams.chain.ingest import ChainFeed
from chaintide.streams.chain.kinds import watch_of
from chaintide.streams.chain.lease import Lease
from chaintide.streams.chain.ledger import Ledger, ledger
from chaintide.streams.chain.node import Node
from chaintide.streams.chain.pools import Pools
from chaintide.streams.chain.publishing import Publishing
from chaintide.streams.chain.rpc import Rpc
from chaintide.streams.chain.takeover import Takeover
from chaintide.streams.chain.wakeup import wake_on_heads
from chaintide.streams.ending import end_if_told
from chaintide.streams.errors import ConfigError, HaltedError, ReplacedError
from chaintide.streams.feeds.backoff import Backoff
from chaintide.streams.feeds.reporting import FeedReporting
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import DeadLetter, Market
from chaintide.streams.topics import BLOCKS, DEAD_LETTERS

logger = logging.getLogger(__name__)
STANDBY_S: Final = 0.5
SIGN_S: Final = 15.0  # so long an owner has nothing to write before it says that it is there
RELEASE_S: Final = 2.0  # whoever stands by has the chain later if Kafka takes longer than this


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where chains are followed to; files of ABIs are sought from ``home`` on."""

    kafka: KafkaConfig
    partitions: int
    home: Path
    now_ms: Callable[[], int]


@dataclass(slots=True)
class Following:
    """One chain, and what it takes to follow it; ``status`` says how that goes.

    Whoever starts takes the chain over. One that stood by has only the epoch in which it saw the
    chain free.
    """

    config: ChainConfig
    around: Surroundings
    status: FeedStatus = field(init=False)
    _writer: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)
    _claim: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.status = FeedStatus(self.config.key, [])
        watch_of(self.config, self.around.home)  # so that mistakes show before anything starts

    @property
    def rules(self) -> ChainRules:
        """What is particular about the chain."""
        config, told = self.config, self.config.has_receipts
        starts = [
            config.start_block if each.start_block is None else each.start_block
            for each in config.contracts
        ]
        return ChainRules(
            chain=config.key,
            chain_id=config.id,
            start=min(starts, default=config.start_block),
            has_bloom=config.has_bloom,
            has_receipts=config.id not in OTHER_RECEIPTS if told is None else told,
            has_hashes=config.has_hashes,
            finality_depth=config.finality_depth,
        )

    @property
    def partition(self) -> int:
        """Where the block log of the chain is."""
        return partition_of(Market(self.config.key), self.around.partitions)

    @asynccontextmanager
    async def feed(self, until: int | None = None) -> AsyncIterator[tuple[ChainFeed, Takeover]]:
        """Yield a feed that follows the chain from where its block log ends, once it runs.

        Of histories it wants nothing above block ``until``. However this block ends, whoever
        stands by gets the chain.
        """
        config, around = self.config, self.around
        quotes = [address.lower() for address in config.quotes]
        publishing = Publishing(
            watch_of(config, around.home),
            Pools(config.key, config.name, quotes),
            around.partitions,
        )
        rpc = Rpc(config.http, config.id, around.now_ms)
        try:
            async with ledger(around.kafka, config.key, publishing.home) as book:
                feed = ChainFeed(
                    Node(rpc, self.rules),
                    publishing,
                    book,
                    self.status,
                    around.now_ms,
                    poll_s=config.poll_ms / 1000,
                )
                signing = asyncio.create_task(_sign(feed, book))
                try:
                    takeover = Takeover(self.rules, publishing, self._writer, until, self._claim)
                    yield feed, takeover
                finally:
                    signing.cancel()
                    await asyncio.gather(signing, return_exceptions=True)
                    await feed.close()
                    await _release(feed)
        finally:
            await rpc.close()

    async def run(self) -> None:
        """Follow the chain; after a fault begin again, after longer and longer pauses.

        One that is replaced stands by until whoever has the chain releases it or falls silent; so
        does one that had a fault, if somebody has the chain by then. Whatever goes wrong is not
        to end other chains.

        Raises:
            HaltedError: If the chain took back a final block.
        """
        backoff, turn = Backoff(), self._run_once
        while True:
            end_if_told()
            began_ms = self.around.now_ms()
            try:
                await turn()
                turn = self._run_once
                continue
            except HaltedError:
                raise
            except ReplacedError as error:
                logger.warning("%s; standing by", error)
                self.status.state, self.status.last_error = "standby", str(error)
                turn = self._until_free
                continue
            except Exception as error:  # of any kind: the other chains are in the same task group
                logger.exception("chain=%s begins again", self.config.key)
                self.status.state, self.status.last_error = "connecting", str(error)
                turn = self._until_free
            if self.around.now_ms() - began_ms > 60_000:
                backoff.reset()
            await asyncio.sleep(backoff.next_s(random.random))

    async def _run_once(self) -> None:
        async with self.feed() as (feed, takeover), self._waking(feed):
            await feed.run(takeover)

    @asynccontextmanager
    async def _waking(self, feed: ChainFeed) -> AsyncIterator[None]:
        """Let new heads wake ``feed`` for this block, if there is a WebSocket."""
        if not self.config.ws:
            yield
            return
        waking = asyncio.create_task(wake_on_heads(self.config.ws, feed.wake, random.random))
        try:
            yield
        finally:
            waking.cancel()
            await asyncio.gather(waking, return_exceptions=True)

    async def _until_free(self) -> None:
        """Stand by for as long as somebody else has the chain."""
        lease = Lease(self._writer)
        async with ledger(self.around.kafka, self.config.key, self.partition) as book:
            lease.on_look(await book.read(), now_ms=self.around.now_ms())
            while not lease.is_over:
                end_if_told()
                self.status.state = "standby"
                await asyncio.sleep(STANDBY_S)
                lease.on_look(await book.read(), now_ms=self.around.now_ms())
        self._claim = lease.next_epoch
        self.status.state = "connecting"


async def _sign(feed: ChainFeed, book: Ledger) -> None:
    """Say now and then that the owner is there, while nothing else it writes does."""
    notes = book.notes
    while True:
        end_if_told()
        await asyncio.sleep(SIGN_S)
        if book.notes == notes:
            try:
                await feed.sign()
            except KafkaError:
                logger.exception("no sign of life chain=%s", feed.publishing.chain)
        notes = book.notes


async def _release(feed: ChainFeed) -> None:
    try:
        async with asyncio.timeout(RELEASE_S):
            await feed.release()
    except (KafkaError, TimeoutError) as error:
        logger.warning("chain=%s could not be released: %r", feed.publishing.chain, error)


async def follow_chains(configs: Sequence[ChainConfig], around: Surroundings) -> None:
    """Follow chains until cancelled. One that halts says so, and leaves the others running.

    Raises:
        ConfigError: If something in ``configs`` is wrong.
    """
    if not configs:
        raise ConfigError("no chain to follow")
    chains = [Following(config, around) for config in configs]
    statuses: Mapping[str, FeedStatus] = {each.config.key: each.status for each in chains}
    try:
        async with (
            AIOKafkaProducer(**around.kafka.client_options()) as producer,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(FeedReporting(producer, statuses, around.now_ms).run())
            for chain in chains:
                tasks.create_task(_until_halted(chain, producer))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


async def _until_halted(chain: Following, producer: AIOKafkaProducer) -> None:
    try:
        await chain.run()
    except HaltedError as error:
        chain.status.state, chain.status.last_error = "halted", str(error)
        logger.critical("chain=%s is not followed any more: %s", chain.config.key, error)
        letter = DeadLetter(
            topic=BLOCKS.name,
            partition=chain.partition,
            offset=-1,
            reason=str(error),
            key=chain.config.key,
            value="",
        )
        try:
            await producer.send_and_wait(
                DEAD_LETTERS.name, codec.encode(letter), key=chain.config.key.encode()
            )
        except KafkaError:
            logger.exception("no dead letter chain=%s", chain.config.key)
