"""What is written for each step of a follower, where, and what has to be durable before what."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import msgspec

from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.coverage import Coverage
from chaintide.streams.chain.pools import Pools, Stranger
from chaintide.streams.chain.records import (
    Alias,
    Alive,
    BlockEnd,
    BlockMessage,
    ChainLog,
    ChainMessage,
    Family,
    Head,
    Owner,
    Released,
    Synced,
)
from chaintide.streams.chain.steps import Apply, ApplyRange, Finalize, Retreat
from chaintide.streams.chain.swaps import SwapTrade, batches_of, swap_of
from chaintide.streams.chain.watch import Watch
from chaintide.streams.partitions import partition_of
from chaintide.streams.records import Final, Heartbeat, Market, Rebuild, TradeBatch, Undo
from chaintide.streams.topics import ALIASES, BLOCKS, CHAIN, TRADES, Topic


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One record, encoded or not yet, and where it goes."""

    topic: Topic
    key: str
    partition: int
    record: ChainMessage | BlockMessage | TradeBatch | Heartbeat | Rebuild | Alias | msgspec.Raw


Plan = list[list[Outgoing]]


_home_of = lru_cache(maxsize=65_536)(partition_of)  # hashing a key takes longer than decoding a log


@lru_cache(maxsize=65_536)
def _place_of(chain: str, stream: str, partitions: int) -> tuple[Market, int]:
    key = Market(f"{chain}:{stream}")
    return key, partition_of(key, partitions)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read in blocks up to ``end``: logs, and contracts that factories made."""

    records: list[ChainLog]
    children: dict[str, str]
    end: Header


@dataclass(slots=True)
class Publishing:
    """Turns steps into records. Each list of a plan is durable before the next is begun.

    An undo is noted in the block log before it is carried out, a block is noted as finished after
    everything of it is durable. So whoever reads the log knows what may have happened.
    """

    watch: Watch
    pools: Pools
    partitions: int
    epoch: int = 0
    logs: int = field(default=0, init=False)
    trades: int = field(default=0, init=False)

    @property
    def chain(self) -> str:
        """The chain that is followed."""
        return self.watch.chain

    @property
    def home(self) -> int:
        """The partition of the block log."""
        return partition_of(Market(self.chain), self.partitions)

    def owning(
        self,
        writer: str,
        contracts: Mapping[str, int],
        rebuilt: Mapping[str, tuple[int, int]] = MappingProxyType({}),
        makes: Mapping[str, Family] = MappingProxyType({}),
    ) -> Plan:
        """Return what claims the chain for ``writer``; the rest as in ``Owner``."""
        owner = Owner(
            chain=self.chain,
            epoch=self.epoch,
            writer=writer,
            contracts=dict(contracts),
            rebuilt=dict(rebuilt),
            makes=dict(makes),
        )
        return self.noting(owner)

    def releasing(self) -> Plan:
        """Return what says that the chain may be followed by whoever stands by."""
        return self.noting(Released(chain=self.chain, epoch=self.epoch))

    def living(self) -> Plan:
        """Return what says that the chain still has its owner."""
        return self.noting(Alive(chain=self.chain, epoch=self.epoch))

    def noting(self, record: BlockMessage) -> Plan:
        """Return what writes ``record`` into the block log."""
        return [[self._block(record)]]

    def undoing(self, to_number: int) -> Plan:
        """Return what undoes everything above ``to_number``."""
        self.watch.forget(to_number)
        self.pools.forget(to_number)
        undo = Undo(chain=self.chain, to_number=to_number, epoch=self.epoch)
        return [[self._block(undo)], self._everywhere(undo)]

    def plan(self, step: Apply | ApplyRange | Retreat | Finalize) -> Plan:
        """Return what is to be written for ``step``; pools that are not known have no trades."""
        match step:
            case Apply() | ApplyRange():
                return self.applying(self.read(step))
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

    # ----------------------------------------------------------------- reading

    def read(self, step: Apply | ApplyRange) -> Reading:
        """Return what is in the blocks of ``step``; watch from now on what factories made there."""
        match step:
            case Apply(header, logs):
                children = self.watch.discover(header.number, logs)
                return Reading(self._matching(header, logs), children, header)
            case ApplyRange(headers, logs, end):
                return self._read_range(headers, logs, end)

    def _matching(self, header: Header, logs: Sequence[RawLog]) -> list[ChainLog]:
        self.watch.epoch = self.epoch
        return self.watch.matching(header, logs)

    def _read_range(
        self, headers: Mapping[int, Header], logs: Sequence[RawLog], end: Header
    ) -> Reading:
        by_block: dict[int, list[RawLog]] = defaultdict(list)
        for log in logs:
            by_block[int(log.block_number, 16)].append(log)
        children: dict[str, str] = {}
        records: list[ChainLog] = []
        for number, inside in by_block.items():
            children |= self.watch.discover(number, inside)
            records += self._matching(headers[number], inside)
        return Reading(records, children, end)

    def strangers(self, reading: Reading) -> list[Stranger]:
        """Return the pools that have to be learned before ``reading`` can be written."""
        return self.pools.strangers(reading.records, self.watch.form_of)

    # ----------------------------------------------------------------- writing

    def applying(self, reading: Reading, aliases: Iterable[Alias] = ()) -> Plan:
        """Return what is to be written for new blocks; ``aliases`` are of pools just learned."""
        end = reading.end
        done = BlockEnd(
            chain=self.chain,
            number=end.number,
            block_hash=end.hash,
            parent_hash=end.parent_hash,
            time_ms=end.time_ms,
            logs=len(reading.records),
            children=reading.children,
            epoch=self.epoch,
        )
        written = [*self._news(reading, end.number, aliases), *self._progress(end)]
        return [written, [self._block(done)]]

    def syncing(
        self, reading: Reading | None, synced: Synced, aliases: Iterable[Alias] = ()
    ) -> Plan:
        """Return what is to be written for final blocks of the past of one contract.

        Their trades are settled at once: nothing can undo them. Without a ``reading`` there is
        nothing in them.
        """
        news = [*self._news(reading, None, aliases)] if reading is not None else []
        return [news, [self._block(synced)]]

    def rebuilding(
        self,
        reading: Reading,
        synced: Synced,
        coverage: Coverage,
        aliases: Iterable[Alias] = (),
    ) -> Plan:
        """Return the same for a contract whose markets begin anew; no log is written twice."""
        at, address = coverage.rebuilds[synced.address], synced.address
        holes = coverage.missing(address, synced.first, synced.last)
        fresh = [
            record
            for record in reading.records
            if any(hole.first <= record.number <= hole.last for hole in holes)
        ]
        news: list[Outgoing] = []
        if synced.first == at.whole.first:
            rebuild = Rebuild(chain=self.chain, contract=address, epoch=self.epoch)
            news += [
                Outgoing(TRADES, self.chain, partition, rebuild)
                for partition in range(self.partitions)
            ]
        news += [*self._named(aliases), *self._logs(fresh), *self._trades(reading.records, None)]
        return [news, [self._block(synced)]]

    def _news(
        self, reading: Reading, block: int | None, aliases: Iterable[Alias]
    ) -> Iterable[Outgoing]:
        yield from self._named(aliases)
        yield from self._logs(reading.records)
        yield from self._trades(reading.records, block)

    def _named(self, aliases: Iterable[Alias]) -> Iterable[Outgoing]:
        for alias in aliases:
            home = partition_of(alias.market, self.partitions)
            yield Outgoing(ALIASES, alias.market, home, alias)

    def _logs(self, records: Sequence[ChainLog]) -> Iterable[Outgoing]:
        self.logs += len(records)
        chain, partitions = self.chain, self.partitions
        for record in records:
            key, home = _place_of(chain, record.stream, partitions)
            yield Outgoing(CHAIN, key, home, record)

    def _trades(self, records: Iterable[ChainLog], block: int | None) -> Iterable[Outgoing]:
        known = self.pools.known
        trades: dict[Market, list[SwapTrade]] = defaultdict(list)
        for record in records:
            pool = known.get(record.stream)
            if pool is None or record.event != pool.form.event:
                continue
            if (trade := swap_of(record, pool)) is not None:
                trades[pool.market].append(trade)
        for market, swaps in trades.items():
            self.trades += len(swaps)
            home = _home_of(market, self.partitions)
            for batch in batches_of(market, swaps, block=block, epoch=self.epoch):
                yield Outgoing(TRADES, market, home, batch)

    def _progress(self, end: Header) -> Iterable[Outgoing]:
        head = Head(
            chain=self.chain,
            number=end.number,
            block_hash=end.hash,
            time_ms=end.time_ms,
            epoch=self.epoch,
        )
        beat = Heartbeat(venue=self.chain, time_us=end.time_ms * 1000, epoch=self.epoch)
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
