"""What is written for each step of a follower, where, and what has to be durable before what."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.records import (
    BlockEnd,
    BlockMessage,
    ChainLog,
    ChainMessage,
    Head,
    Owner,
)
from chaintide.streams.chain.steps import Apply, ApplyRange, Finalize, Retreat
from chaintide.streams.chain.swaps import Pool, SwapTrade, batches_of, swap_of
from chaintide.streams.chain.watch import Watch
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Final, Heartbeat, Market, TradeBatch, Undo
from chaintide.streams.topics import BLOCKS, CHAIN, TRADES, Topic


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record, and where it goes."""

    topic: Topic
    key: str
    partition: int
    record: ChainMessage | BlockMessage | TradeBatch | Heartbeat


Plan = list[list[Outgoing]]
_home_of = lru_cache(maxsize=65_536)(partition_of)  # hashing a key takes longer than decoding a log


@dataclass(slots=True)
class Publishing:
    """Turns steps into records. Each list of a plan is durable before the next is begun.

    An undo is noted in the block log before it is carried out, a block is noted as finished after
    everything of it is durable. So whoever reads the log knows what may have happened.
    """

    watch: Watch
    pools: Mapping[str, Pool]
    partitions: int
    epoch: int = 0
    logs: int = field(default=0, init=False)

    @property
    def chain(self) -> str:
        """The chain that is followed."""
        return self.watch.chain

    @property
    def home(self) -> int:
        """The partition of the block log."""
        return partition_of(Market(self.chain), self.partitions)

    def owning(self, writer: str) -> Plan:
        """Return what claims the chain for ``writer``."""
        return [[self._block(Owner(chain=self.chain, epoch=self.epoch, writer=writer))]]

    def undoing(self, to_number: int) -> Plan:
        """Return what undoes everything above ``to_number``."""
        self.watch.forget(to_number)
        undo = Undo(chain=self.chain, to_number=to_number, epoch=self.epoch)
        return [[self._block(undo)], self._everywhere(undo)]

    def plan(self, step: Apply | ApplyRange | Retreat | Finalize) -> Plan:
        """Return what is to be written for ``step``."""
        match step:
            case Apply(header, logs):
                return self._apply({header.number: header}, logs, header)
            case ApplyRange(headers, logs, end):
                return self._apply(headers, logs, end)
            case Retreat(to_number):
                return self.undoing(to_number)
            case Finalize(block):
                final = Final(
                    chain=self.chain,
                    number=block.number,
                    block_hash=block.hash,
                    time_ms=block.time_ms,
                    epoch=self.epoch,
                )
                return [self._everywhere(final), [self._block(final)]]

    def _apply(self, headers: Mapping[int, Header], logs: Sequence[RawLog], end: Header) -> Plan:
        self.watch.epoch = self.epoch
        by_block: dict[int, list[RawLog]] = defaultdict(list)
        for log in logs:
            by_block[int(log.block_number, 16)].append(log)
        children: dict[str, str] = {}
        records: list[ChainLog] = []
        for number, inside in by_block.items():
            children |= self.watch.discover(number, inside)
            records += self.watch.matching(headers[number], inside)
        self.logs += len(records)
        done = BlockEnd(
            chain=self.chain,
            number=end.number,
            block_hash=end.hash,
            parent_hash=end.parent_hash,
            time_ms=end.time_ms,
            logs=len(records),
            children=children,
            epoch=self.epoch,
        )
        written = [self._log(record) for record in records]
        written += self._trades(records, end.number)
        return [[*written, *self._progress(end)], [self._block(done)]]

    def _trades(self, records: Iterable[ChainLog], block: int) -> Iterable[Outgoing]:
        trades: dict[Market, list[SwapTrade]] = defaultdict(list)
        for record in records:
            pool = self.pools.get(record.stream)
            if pool is not None and (trade := swap_of(record, pool)) is not None:
                trades[pool.market].append(trade)
        for market, swaps in trades.items():
            home = _home_of(market, self.partitions)
            for batch in batches_of(market, swaps, block=block, epoch=self.epoch):
                yield Outgoing(TRADES, market, home, batch)

    def _log(self, record: ChainLog) -> Outgoing:
        key = f"{self.chain}:{record.stream}"
        return Outgoing(CHAIN, key, _home_of(Market(key), self.partitions), record)

    def _progress(self, end: Header) -> Iterable[Outgoing]:
        head = Head(
            chain=self.chain,
            number=end.number,
            block_hash=end.hash,
            time_ms=end.time_ms,
            epoch=self.epoch,
        )
        beat = Heartbeat(venue=self.chain, time_us=end.time_ms * 1000)
        for partition in range(self.partitions):
            yield Outgoing(CHAIN, self.chain, partition, head)
            yield Outgoing(TRADES, self.chain, partition, beat)

    def _everywhere(self, record: Undo | Final) -> list[Outgoing]:
        return [
            Outgoing(topic, self.chain, partition, record)
            for partition in range(self.partitions)
            for topic in (CHAIN, TRADES)
        ]

    def _block(self, record: BlockMessage) -> Outgoing:
        return Outgoing(BLOCKS, self.chain, self.home, record)
