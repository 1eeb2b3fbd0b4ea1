"""One partition of trades, or of logs of contracts: what is strange in it, each input once."""

from collections.abc import Iterable
from typing import Final

import msgspec

from chaintide.agents.anomalies.changelog import (
    AnomalyRecovery,
    Of,
    Saved,
    course_entry,
    mark_entry,
)
from chaintide.agents.anomalies.contract_events import tick_of
from chaintide.agents.anomalies.market import MarketLogic
from chaintide.agents.bars import rows
from chaintide.agents.changelog import Entry, Mark
from chaintide.agents.partition import Input, venue_of
from chaintide.streams import codec
from chaintide.streams.anomalies import Anomaly, AnomalyBatch
from chaintide.streams.chain.records import ChainLog, ChainMessage, Head
from chaintide.streams.errors import BadRecordError
from chaintide.streams.records import (
    SCHEMA_VERSION,
    Market,
    TradeBatch,
    TradeInput,
    Undo,
)
from chaintide.streams.records import Final as FinalBlock
from chaintide.streams.topics import CHAIN, Topic

MAX_MARKETS: Final = 10_000
_logs: Final = msgspec.json.Decoder(ChainMessage)


class AnomaliesLogic:
    """Judges what comes in one partition of ``source``; a market's state has its offset.

    Markets beyond 10,000 in one partition are counted as ``unseen``, and records that cannot be
    understood as ``unread``: who makes candles and views of them buries them.
    """

    def __init__(
        self, source: Topic, budget: float, recovery: AnomalyRecovery, least_generation: int = 1
    ) -> None:
        self.source = source
        self.budget = budget
        self.generation = max(recovery.generation + 1, least_generation)
        self.offset = -1
        self.unseen = 0
        self.unread = 0
        self._chains = dict(recovery.chains)
        self._markets: dict[Of, MarketLogic] = {}
        self._applied: dict[Of, int] = {}
        self._dirty: dict[Of, None] = {}
        self._dirty_chains: dict[str, None] = {}
        self._found: dict[Market, dict[str, Anomaly]] = {}
        for of, saved in recovery.courses.items():
            self._markets[of] = MarketLogic(*of, budget, saved.course)
            self._applied[of] = saved.offset

    @property
    def applied(self) -> int:
        """Return the highest offset any market has applied, or -1."""
        return max(self._applied.values(), default=-1)

    def restart(self) -> None:
        """Take offsets from 0 again: the topic was made anew."""
        self._applied = dict.fromkeys(self._applied, -1)

    def on_input(self, message: Input) -> None:
        """Judge one message."""
        self.offset = message.offset
        try:
            record = self._decoded(message.value)
        except BadRecordError:
            self.unread += 1
            return
        match record:
            case TradeBatch():
                self._on_trades(record, message)
            case ChainLog():
                self._on_log(record)
            case Undo() | FinalBlock():
                self._on_chain(record)
            case _:
                pass

    def drain(self) -> list[AnomalyBatch]:
        """Return what is to be told since the last call, one record a market."""
        found, self._found = self._found, {}
        return [
            AnomalyBatch(
                market=market,
                generation=self.generation,
                offset=self.offset,
                anomalies=list(told.values()),
            )
            for market, told in found.items()
        ]

    def checkpoint(self) -> Iterable[Entry]:
        """Yield the changelog records that make everything applied so far durable."""
        dirty, self._dirty = self._dirty, {}
        for of in dirty:
            self._applied[of] = self.offset
            saved = Saved(self.generation, self.offset, self._markets[of].state())
            yield course_entry(self.source, of, saved)
        chains, self._dirty_chains = self._dirty_chains, {}
        for chain in chains:
            yield mark_entry(self.source, chain, self._chains[chain])

    # ------------------------------------------------------------------- inputs

    def _decoded(self, value: bytes) -> TradeInput | ChainLog | Head:
        if self.source != CHAIN:
            return codec.decode_trades(value)
        record: ChainMessage = codec.decode(_logs, value)
        if record.v != SCHEMA_VERSION:
            raise BadRecordError(f"schema version {record.v}")
        return record

    def _on_trades(self, batch: TradeBatch, message: Input) -> None:
        if bad := codec.faults(batch, message.time_ms):
            good = [row for row in range(len(batch)) if row not in bad]
            if not good:
                return
            batch = rows(batch, good)
        if batch.block is not None and not self._is_wanted(batch.market, batch.block, batch.epoch):
            return
        if logic := self._logic((batch.market, None)):
            self._tell(logic.on_trades(batch))

    def _on_log(self, log: ChainLog) -> None:
        market = Market(f"{log.chain}:{log.stream}")
        tick = tick_of(log)
        if tick is None or not self._is_wanted(market, log.number, log.epoch):
            return
        if logic := self._logic((market, log.event)):
            self._tell(logic.on_event(tick))

    def _is_wanted(self, market: Market, block: int, epoch: int) -> bool:
        """Return whether what is of a chain comes from its follower, and is not final yet."""
        mark = self._chains.get(venue_of(market), Mark())
        return epoch >= mark.epoch and block > mark.final

    def _on_chain(self, news: Undo | FinalBlock) -> None:
        mark = self._chains.get(news.chain, Mark())
        if news.epoch < mark.epoch:
            return
        for of, logic in self._markets.items():
            if venue_of(of[0]) != news.chain or self.offset <= self._applied.get(of, -1):
                continue
            if not logic.course.held and not logic.course.pending:
                continue
            if isinstance(news, Undo):
                self._tell(logic.undo(news.to_number))
            else:
                logic.settle(news.number)
            self._dirty[of] = None
        final = max(mark.final, news.number) if isinstance(news, FinalBlock) else mark.final
        if (news.epoch, final) != (mark.epoch, mark.final):
            self._chains[news.chain] = Mark(self.generation, self.offset, news.epoch, final)
            self._dirty_chains[news.chain] = None

    def _tell(self, found: Iterable[Anomaly]) -> None:
        for one in found:
            told = self._found.setdefault(one.market, {})
            told.pop(one.anomaly_id, None)
            told[one.anomaly_id] = one

    def _logic(self, of: Of) -> MarketLogic | None:
        """Return the market, unless it has seen this input, or there are too many."""
        if self.offset <= self._applied.get(of, -1):
            return None
        logic = self._markets.get(of)
        if logic is None:
            if len(self._markets) >= MAX_MARKETS:
                self.unseen += 1
                return None
            logic = self._markets[of] = MarketLogic(*of, self.budget)
        self._dirty[of] = None
        return logic
