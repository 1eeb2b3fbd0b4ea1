"""What the pools of one partition hold: after every block, until that block is final."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from chaintide.agents.changelog import CHAIN_KEY, OWNER_KEY, Entry, Mark, chain_entry
from chaintide.agents.partition import Input, dead_letter
from chaintide.agents.reserves import kind_of, state_after
from chaintide.streams import codec
from chaintide.streams.chain.records import ChainLog, ChainMessage, Head
from chaintide.streams.errors import BadRecordError
from chaintide.streams.records import SCHEMA_VERSION, DeadLetter, Final, Market, Undo
from chaintide.streams.topics import CHAIN
from chaintide.streams.views import PoolState, PoolView

MAX_POOLS = 10_000
_messages = msgspec.json.Decoder(ChainMessage)
_views = msgspec.json.Decoder(PoolView)
_marks = msgspec.json.Decoder(Mark)
_generations = msgspec.json.Decoder(int)
_Versioned = TypeVar("_Versioned", PoolView, Mark)


class PoolRecovery:
    """The views of one partition, read from their beginning: they are all the state there is."""

    def __init__(self) -> None:
        self.generation = 0
        self.pools: dict[Market, PoolView] = {}
        self.chains: dict[str, Mark] = {}

    def on_entry(self, key: bytes, value: bytes | None) -> None:
        """Take in the next record."""
        if value is None:
            return
        if key == OWNER_KEY:
            self._see(_generations.decode(value))
        elif key.startswith(CHAIN_KEY):
            chain, mark = key[len(CHAIN_KEY) :].decode(), _marks.decode(value)
            self._see(mark.generation)
            self.chains[chain] = _newer(self.chains.get(chain), mark)
        else:
            view = _views.decode(value)
            self._see(view.generation)
            self.pools[view.market] = _newer(self.pools.get(view.market), view)

    def _see(self, generation: int) -> None:
        self.generation = max(self.generation, generation)


class PoolsLogic:
    """The pools of one partition of logs, each log applied once.

    A view remembers the offset it has applied, so what is delivered again changes nothing. Beyond
    10,000 pools in one partition, further ones have no view and are counted as ``unseen``.
    """

    def __init__(self, recovery: PoolRecovery, least_generation: int = 1) -> None:
        self.generation = max(recovery.generation + 1, least_generation)
        self.offset = -1
        self.unseen = 0
        self._pools = dict(recovery.pools)
        self._chains = dict(recovery.chains)
        self._changed: dict[Market, None] = {}
        self._changed_chains: dict[str, None] = {}

    @property
    def applied(self) -> int:
        """Return the highest offset any pool or chain has applied, or -1."""
        pools = max((pool.offset for pool in self._pools.values()), default=-1)
        return max(pools, *(mark.offset for mark in self._chains.values()), -1)

    def on_input(self, message: Input) -> list[DeadLetter]:
        """Apply one message of the chain topic; return it if it cannot be understood."""
        self.offset = message.offset
        try:
            record: ChainMessage = codec.decode(_messages, message.value)
        except BadRecordError as error:
            return [dead_letter(CHAIN, message, error.reason)]
        if record.v != SCHEMA_VERSION:
            reason = f"schema version {record.v}, this program reads {SCHEMA_VERSION}"
            return [dead_letter(CHAIN, message, reason)]
        match record:
            case ChainLog():
                self._on_log(record)
            case Undo() | Final():
                self._on_news(record)
            case Head():
                pass
        return []

    def drain(self) -> Iterable[Entry]:
        """Yield what is to be written, in that order: what chains say comes last."""
        changed, self._changed = self._changed, {}
        for market in changed:
            yield market.encode(), codec.encode(self._pools[market])
        chains, self._changed_chains = self._changed_chains, {}
        for chain in chains:
            yield chain_entry(chain, self._chains[chain])

    def _on_log(self, log: ChainLog) -> None:
        mark = self._chains.get(log.chain, Mark())
        kind = kind_of(log)
        if kind is None or log.epoch < mark.epoch:
            return
        market = Market(f"{log.chain}:{log.stream}")
        pool = self._pools.get(market)
        if pool is None:
            if len(self._pools) >= MAX_POOLS:
                self.unseen += 1
                return
            pool = PoolView(
                market=market, kind=kind, generation=0, offset=-1, settled=None, pending=[]
            )
        if self.offset <= pool.offset:
            return
        if log.number <= mark.final:
            self._settle(log, pool)
        elif (state := state_after(log, pool.newest)) is not None:
            below = [held for held in pool.pending if held.number < log.number]
            self._put(pool, pool.settled, [*below, state])

    def _settle(self, log: ChainLog, pool: PoolView) -> None:
        """Apply a log of a block that was final before it came: it is of the pool's history."""
        held = pool.settled
        is_later = held is None or (log.number, log.log_index) > (held.number, held.log_index)
        if is_later and (state := state_after(log, held)) is not None:
            self._put(pool, state, pool.pending)

    def _on_news(self, news: Undo | Final) -> None:
        mark = self._chains.get(news.chain, Mark())
        if news.epoch < mark.epoch:
            return
        prefix = f"{news.chain}:"
        for pool in [p for m, p in self._pools.items() if p.pending and m.startswith(prefix)]:
            if self.offset > pool.offset:
                self._apply(news, pool)
        final = max(mark.final, news.number) if isinstance(news, Final) else mark.final
        if (news.epoch, final) != (mark.epoch, mark.final):
            self._chains[news.chain] = Mark(self.generation, self.offset, news.epoch, final)
            self._changed_chains[news.chain] = None

    def _apply(self, news: Undo | Final, pool: PoolView) -> None:
        until = news.number if isinstance(news, Final) else news.to_number
        below = [held for held in pool.pending if held.number <= until]
        above = pool.pending[len(below) :]
        if isinstance(news, Undo):
            if above:
                self._put(pool, pool.settled, below)
        elif below:
            self._put(pool, below[-1], above)

    def _put(self, pool: PoolView, settled: PoolState | None, pending: list[PoolState]) -> None:
        self._pools[pool.market] = msgspec.structs.replace(
            pool,
            generation=self.generation,
            offset=self.offset,
            settled=settled,
            pending=pending,
        )
        self._changed[pool.market] = None


def _newer(old: _Versioned | None, new: _Versioned) -> _Versioned:
    is_newer = old is None or (old.generation, old.offset) <= (new.generation, new.offset)
    return new if is_newer or old is None else old
