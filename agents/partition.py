"""One partition of trades: every market in it, and which inputs they have applied."""

from collections.abc import Iterable

import msgspec

from chaintide.agents.bars import rows
from chaintide.agents.book import LEVELS, Book, Rules
from chaintide.agents.candles import CandleLogic
from chaintide.agents.changelog import Entry, Mark, Recovery, chain_entry, entries
from chaintide.agents.shelf import Shelf
from chaintide.streams import codec
from chaintide.streams.errors import BadRecordError
from chaintide.streams.records import (
    Candle,
    CandleBatch,
    DeadLetter,
    Final,
    Gap,
    Heartbeat,
    Late,
    Market,
    Rebuild,
    TradeBatch,
    Undo,
)
from chaintide.streams.topics import TRADES, Topic

MAX_MARKETS = 10_000
MAX_QUOTED_BYTES = 65_536


class Input(msgspec.Struct, frozen=True):
    """One message of a topic that is computed from; ``time_ms`` is when the broker got it."""

    partition: int
    offset: int
    time_ms: int
    key: bytes
    value: bytes


Refused = DeadLetter | Late


class PartitionLogic:
    """Routes the messages of one partition to its markets, each message once.

    ``offset`` is that of the last message applied; markets remember it with their state, so a
    message that is delivered again changes nothing. ``generation`` is above that of every owner
    before; ``least_generation`` keeps it so when the changelog is lost and the store is not.
    """

    def __init__(self, rules: Rules, recovery: Recovery, least_generation: int = 1) -> None:
        self.rules = rules
        self.generation = max(recovery.generation + 1, least_generation)
        self.offset = -1
        self.trades = 0
        self._markets: dict[Market, CandleLogic] = {}
        self._applied: dict[Market, int] = {}
        self._venues: dict[str, list[CandleLogic]] = {}
        self._changed: dict[Market, CandleLogic] = {}
        self._unsaved: dict[Market, CandleLogic] = {}
        self._last_shown: dict[Market, list[Candle]] = {}
        self._chains = dict(recovery.chains)
        self._unsaved_chains: set[str] = set()
        for logic, offset in recovery.markets(rules):
            self._add(logic)
            self._applied[logic.market] = offset

    def restart(self) -> None:
        """Take offsets from 0 again: the topic was made anew. Known trades still count once."""
        self._applied = dict.fromkeys(self._applied, -1)

    @property
    def applied(self) -> int:
        """Return the highest offset any market has applied, or -1."""
        return max(self._applied.values(), default=-1)

    def on_input(self, message: Input) -> list[Refused]:
        """Apply one message and return what could not be used of it, with its coordinates."""
        self.offset = message.offset
        try:
            record = codec.decode_trades(message.value)
            match record:
                case TradeBatch():
                    return self._on_trades(record, message)
                case Heartbeat():
                    self._on_heartbeat(record, message)
                case Gap():
                    self._on_gap(record, message)
                case Undo() | Final():
                    self._on_chain(record, message)
                case Rebuild():
                    self._on_rebuild(record, message)
        except BadRecordError as error:
            return [dead_letter(TRADES, message, error.reason)]
        return []

    def _on_trades(self, batch: TradeBatch, message: Input) -> list[Refused]:
        refused: list[Refused] = []
        bad = codec.faults(batch, message.time_ms)
        for row, reason in bad.items():
            text = f"trade {batch.ids[row]} of {batch.market}: {reason}"
            alone = msgspec.structs.replace(message, value=codec.encode(rows(batch, [row])))
            refused.append(dead_letter(TRADES, alone, text))
        if bad:
            batch = rows(batch, [row for row in range(len(batch)) if row not in bad])
        if not len(batch):
            return refused
        logic = self._logic(batch.market)
        mark = self._chains.get(venue_of(batch.market), Mark())
        is_applied = message.offset <= self._applied.get(batch.market, -1)
        if is_applied or batch.epoch < mark.epoch or _is_settled(batch, logic):
            return refused
        self.trades += len(batch)
        is_final = batch.block is not None and batch.block <= mark.final
        late = logic.on_trades(batch, None if is_final else batch.block)
        refused += [_late(part, logic, message) for part in late]
        self._changed[batch.market] = self._unsaved[batch.market] = logic
        return refused

    def _on_heartbeat(self, heartbeat: Heartbeat, message: Input) -> None:
        if heartbeat.time_us > message.time_ms * 1000 + codec.MAX_FUTURE_US:
            raise BadRecordError("heartbeat from the future")
        if heartbeat.epoch < self._chains.get(heartbeat.venue, Mark()).epoch:
            return  # its follower was replaced, and knows nothing of what the new one writes
        for logic in self._venues.get(heartbeat.venue, ()):
            is_meant = heartbeat.market in {None, logic.market}
            if is_meant and message.offset > self._applied.get(logic.market, -1):
                logic.on_heartbeat(heartbeat.time_us)
                if logic.is_dirty:
                    self._changed[logic.market] = self._unsaved[logic.market] = logic

    def _on_gap(self, gap: Gap, message: Input) -> None:
        if message.offset > self._applied.get(gap.market, -1):
            logic = self._logic(gap.market)
            logic.on_gap(gap)
            self._changed[gap.market] = self._unsaved[gap.market] = logic

    def _on_chain(self, news: Undo | Final, message: Input) -> None:
        mark = self._chains.get(news.chain, Mark())
        if news.epoch < mark.epoch:
            return
        for logic in self._venues.get(news.chain, ()):
            if message.offset > self._applied.get(logic.market, -1):
                waiting = len(logic.book.pending)
                if isinstance(news, Undo):
                    logic.undo(news.to_number)
                else:
                    logic.settle(news.number, news.time_ms * 1000)
                if len(logic.book.pending) != waiting:
                    self._unsaved[logic.market] = logic
                if logic.is_dirty:
                    self._changed[logic.market] = self._unsaved[logic.market] = logic
        final = max(mark.final, news.number) if isinstance(news, Final) else mark.final
        if (news.epoch, final) != (mark.epoch, mark.final):
            self._chains[news.chain] = Mark(self.generation, self.offset, news.epoch, final)
            self._unsaved_chains.add(news.chain)

    def _on_rebuild(self, rebuild: Rebuild, message: Input) -> None:
        """Forget the markets of a contract, but for what their candles were called so far."""
        if rebuild.epoch < self._chains.get(rebuild.chain, Mark()).epoch:
            return
        markets = self._venues.get(rebuild.chain, [])
        name = f"{rebuild.chain}:{rebuild.contract}"
        for place, logic in enumerate(markets):
            market = logic.market
            is_meant = market == name or market.startswith(f"{name}/")
            if is_meant and message.offset > self._applied.get(market, -1):
                book = logic.book.rebuilt((self.generation, message.offset))
                anew = CandleLogic(market, self.rules, book, logic.shelf.emptied())
                markets[place] = self._markets[market] = anew
                self._changed[market] = self._unsaved[market] = anew
                self._last_shown.setdefault(market, []).extend(logic.drain()[0])

    def drain(self, levels: range = LEVELS) -> list[CandleBatch]:
        """Return what changed since the last call, one record a market.

        Changed candles of intervals that are not in ``levels`` wait for another call.
        """
        changed, self._changed = self._changed, {}
        drained = []
        for market, logic in changed.items():
            candles, gaps = logic.drain(levels)
            if market in self._last_shown:
                shown = [*self._last_shown.pop(market), *candles]
                candles = list({(c.interval, c.open_time_ms): c for c in shown}.values())
            if logic.is_dirty:
                self._changed[market] = logic
            if not candles and not gaps:
                continue
            drained.append(
                CandleBatch(
                    market=market,
                    generation=self.generation,
                    offset=self.offset,
                    candles=candles,
                    gaps=gaps,
                )
            )
        return drained

    def checkpoint(self) -> Iterable[Entry]:
        """Yield the changelog records that make everything applied so far durable."""
        unsaved, self._unsaved = self._unsaved, {}
        for market, logic in unsaved.items():
            self._applied[market] = self.offset
            yield from entries(logic, self.generation, self.offset)
        chains, self._unsaved_chains = self._unsaved_chains, set()
        for chain in sorted(chains):
            yield chain_entry(chain, self._chains[chain])

    def _logic(self, market: Market) -> CandleLogic:
        logic = self._markets.get(market)
        if logic is None:
            if len(self._markets) >= MAX_MARKETS:
                raise BadRecordError(f"more than {MAX_MARKETS} markets in one partition")
            logic = self._add(CandleLogic(market, self.rules, Book(), Shelf()))
        return logic

    def _add(self, logic: CandleLogic) -> CandleLogic:
        self._markets[logic.market] = logic
        self._venues.setdefault(venue_of(logic.market), []).append(logic)
        return logic


def venue_of(market: Market) -> str:
    """Return where ``market`` trades; of a chain's markets that is the chain.

    >>> venue_of(Market("kraken:BTC-USD"))
    'kraken'
    """
    return market.partition(":")[0]


def _is_settled(batch: TradeBatch, logic: CandleLogic) -> bool:
    # Not every market of a chain is as far as the chain: one may be new, or begin anew.
    return batch.block is not None and batch.block <= logic.book.settled


def dead_letter(topic: Topic, message: Input, reason: str) -> DeadLetter:
    """Return as much of ``message`` of ``topic`` as a dead letter holds, with the reason."""
    return DeadLetter(
        topic=topic.name,
        partition=message.partition,
        offset=message.offset,
        reason=reason,
        key=_quoted(message.key),
        value=_quoted(message.value),
    )


def _quoted(raw: bytes) -> str:
    return raw[:MAX_QUOTED_BYTES].decode(errors="backslashreplace")


def _late(trades: TradeBatch, logic: CandleLogic, message: Input) -> Late:
    return Late(
        trades=trades,
        late_by_ms=(logic.book.watermark_us - min(trades.times_us)) // 1000,
        topic=TRADES.name,
        partition=message.partition,
        offset=message.offset,
    )
