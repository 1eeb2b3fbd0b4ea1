"""All that one serving process knows: fed with records, asked for snapshots."""

from collections.abc import Sequence

import msgspec

from chaintide.api.live.update import Snapshot, Update
from chaintide.api.state.anomalies import Anomalies
from chaintide.api.state.catalogue import Catalogue
from chaintide.api.state.forecasts import Forecasts, fresh
from chaintide.api.state.overlay import Overlay, candle_update, seq_of, ticker_update
from chaintide.api.state.pools import Pools, entry_of
from chaintide.api.state.tape import Tape, retraction, tape_trades
from chaintide.api.state.tapes import Tapes
from chaintide.api.state.ticker import Ticker, TickerFigures, is_countable, observed_figures
from chaintide.streams import codec, topics
from chaintide.streams.chain.records import Alias
from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds.coingecko import PriceTick, Trending
from chaintide.streams.intervals import INTERVALS, Interval
from chaintide.streams.probabilities import ModelScore, PredictionBatch, PredictionTexts
from chaintide.streams.records import (
    Candle,
    CandleBatch,
    FeedReport,
    Final,
    Market,
    TradeBatch,
    Undo,
)
from chaintide.streams.views import PoolView

_batches = msgspec.json.Decoder(CandleBatch)
_ticks = msgspec.json.Decoder(PriceTick | Trending)
_aliases = msgspec.json.Decoder(Alias)
_views = msgspec.json.Decoder(PoolView)
_predictions = msgspec.json.Decoder(PredictionBatch)
_texts = msgspec.json.Decoder(PredictionTexts)
_scores = msgspec.json.Decoder(ModelScore)
_reports = msgspec.json.Decoder(FeedReport)
STATUS = "status"


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of a topic; ``time_ms`` is Kafka's time of it."""

    topic: str
    offset: int
    time_ms: int
    value: bytes
    partition: int = 0

    def update(self, channel: str, key: str | int, event_ms: int, data: bytes) -> Update:
        """Return the update that this record means as a whole."""
        return Update(
            channel=channel,
            seq=seq_of(self.offset),
            key=key,
            type="update",
            event_ms=event_ms,
            published_ms=self.time_ms,
            data=data,
        )


class View:
    """Tapes, candles, tickers, pools and the catalogue of one serving process.

    A record that cannot be understood is counted and left out: whoever owns its topic buries it.
    Of ``hidden`` venues nothing is known.
    """

    def __init__(self, hidden: frozenset[str] = frozenset()) -> None:
        self.catalogue = Catalogue(hidden)
        self.pools = Pools()
        self.forecasts = Forecasts()
        self.anomalies = Anomalies()
        self.overlay = Overlay()
        self.bad_records = 0
        self._tapes = Tapes()
        self._tickers: dict[Market, Ticker] = {}
        self._seqs: dict[str, int] = {}

    def on_record(self, record: LogRecord) -> list[Update]:
        """Apply one record and return what it changes, channel by channel."""
        self.forecasts.on_time(record.time_ms)
        try:
            updates = self._applied(record)
        except (BadRecordError, ValueError, ArithmeticError):
            self.bad_records += 1
            return []
        for update in updates:
            self._seqs[update.channel] = update.seq
        return updates

    def load_day(self, market: Market, stored: Sequence[Candle]) -> None:
        """Take the one-minute candles of a market that a store has, before any record."""
        known = stored if self.catalogue.on_market(market) else ()
        for candle in filter(is_countable, known):
            self.catalogue.on_candle(candle)
            self._ticker(market).put(candle)

    def tape(self, market: Market) -> Tape:
        """Return the tape of ``market``, empty if nothing was heard of it."""
        return self._tapes.tape(market)

    def figures(self, market: Market) -> TickerFigures | None:
        """Return the 24 h figures of a market, or its observed price, or None."""
        if (ticker := self._tickers.get(market)) is not None:
            return ticker.figures()
        tick = self.catalogue.ticks.get(market)
        return None if tick is None else observed_figures(tick)

    def snapshot(self, channel: str, count: int) -> Snapshot | None:
        """Return the newest ``count`` entries of ``channel``, or None if there is no such one."""
        kind, _, subject = channel.partition(":")
        if channel == STATUS:
            return self._snapshot(channel, self.catalogue.reports()[:count])
        market, interval = Market(subject), ""
        if kind in {"candles", "prob"}:
            name, _, interval = subject.rpartition(":")
            market = Market(name)
        if market not in self.catalogue and not self._is_extra(kind, market):
            return None
        if interval in INTERVALS:
            found = self._candles if kind == "candles" else self._probabilities
            return found(channel, market, interval, count)
        entries = self._entries(kind, market, count)
        return None if entries is None else self._snapshot(channel, entries)

    def _is_extra(self, kind: str, market: Market) -> bool:
        """Return whether a channel is of something that is no market, or none yet."""
        if kind == "views":
            return self.pools.view(market) is not None
        is_judged = market in self.anomalies or self.catalogue.is_contract(market)
        return kind == "anomalies" and is_judged

    def _entries(self, kind: str, market: Market, count: int) -> Sequence[msgspec.Struct] | None:
        match kind:
            case "trades":
                return self.tape(market).newest(count)
            case "ticker":
                figures = self.figures(market)
                return [] if figures is None else [figures]
            case "anomalies":
                return self.anomalies.newest(market, count)
            case "views":
                pool = self.pools.view(market)
                return [] if pool is None else [entry_of(pool, self.catalogue.alias(market))]
            case _:
                return None

    # ----------------------------------------------------------------- records

    def _applied(self, record: LogRecord) -> list[Update]:
        match record.topic:
            case topics.TRADES.name:
                return self._on_trades(record)
            case topics.CANDLES.name:
                return self._on_candles(record)
            case topics.PROBABILITIES.name:
                return self._on_predictions(record)
            case topics.TICKS.name:
                return self._on_tick(record)
            case topics.FEEDS.name:
                return self._on_report(record)
            case _:
                return self._on_state(record)

    def _on_state(self, record: LogRecord) -> list[Update]:
        match record.topic:
            case topics.SCORES.name:
                self.forecasts.on_score(codec.decode(_scores, record.value))
            case topics.ALIASES.name:
                return self._on_alias(record)
            case topics.VIEWS.name if record.value.startswith(b"{"):  # else a worker's own notes
                view = codec.decode(_views, record.value)
                if self.catalogue.is_hidden(view.market):
                    return []
                alias, seq = self.catalogue.alias(view.market), seq_of(record.offset)
                return self.pools.on_view(view, alias, seq=seq, published_ms=record.time_ms)
            case topics.ANOMALIES.name:
                when = record.time_ms
                return self.anomalies.on_value(
                    record.value, offset=record.offset, published_ms=when
                )
            case _:
                pass
        return []

    def _on_alias(self, record: LogRecord) -> list[Update]:
        alias = codec.decode(_aliases, record.value)
        if alias == self.catalogue.alias(alias.market):
            return []
        self.catalogue.on_alias(alias)
        # It has no place in the log of views: it comes right after the last one.
        seq = self._seqs.get(f"views:{alias.market}", 0) + 1
        return self.pools.on_alias(alias, seq=seq, published_ms=record.time_ms)

    def _on_trades(self, record: LogRecord) -> list[Update]:
        match codec.decode_trades(record.value):
            case TradeBatch() as batch if self._tapes.is_wanted(batch, record.partition):
                return self._on_batch(batch, record)
            case Undo() as undo:
                return self._on_undo(undo, record)
            case Final() as final:
                self._tapes.on_final(final, record.partition)
                return []
            case _:
                return []

    def _on_batch(self, batch: TradeBatch, record: LogRecord) -> list[Update]:
        if not self.catalogue.on_market(batch.market):
            return []
        bad = codec.faults(batch, record.time_ms)
        trades = [trade for row, trade in enumerate(tape_trades(batch)) if row not in bad]
        self.catalogue.on_trades(batch)
        fresh = self._tapes.add(batch, trades, record.partition)
        if not fresh:
            return []
        channel, event_ms = f"trades:{batch.market}", fresh[-1].time_us // 1000
        return [record.update(channel, "trades", event_ms, codec.encode(fresh))]

    def _on_undo(self, undo: Undo, record: LogRecord) -> list[Update]:
        """Return the retractions for all who may have trades that are undone."""
        return [
            retraction(market, undo, record.offset, record.time_ms)
            for market in self._tapes.on_undo(undo, record.partition)
        ]

    def _on_candles(self, record: LogRecord) -> list[Update]:
        batch = codec.decode(_batches, record.value)
        if not all(map(is_countable, batch.candles)):
            raise BadRecordError("a candle with something else than numbers")
        if not self.catalogue.on_market(batch.market):
            return []
        updates, minutes = [], []
        for seq, candle in self.overlay.apply(batch, record.offset):
            self.catalogue.on_candle(candle)
            self.forecasts.on_candle(candle)
            updates.append(candle_update(seq, candle, record.time_ms))
            if candle.interval == "1m" and self._ticker(batch.market).put(candle):
                minutes.append((seq, candle.updated_ms))
        if minutes and (figures := self._ticker(batch.market).figures()) is not None:
            seq, event_ms = minutes[-1]
            when = {"event_ms": event_ms, "published_ms": record.time_ms}
            updates.append(ticker_update(figures, seq=seq, **when))
        return updates

    def _on_predictions(self, record: LogRecord) -> list[Update]:
        said = codec.decode(_predictions, record.value).predictions
        texts = map(bytes, codec.decode(_texts, record.value).predictions)
        markets = dict.fromkeys(one.market for one in said)
        listed = set(filter(self.catalogue.on_market, markets))
        known = [pair for pair in zip(said, texts, strict=True) if pair[0].market in listed]
        return self.forecasts.on_predictions(known, record.offset, record.time_ms)

    def _on_tick(self, record: LogRecord) -> list[Update]:
        observed = codec.decode(_ticks, record.value)
        if isinstance(observed, Trending):
            self.catalogue.trending = observed
            return []
        if not self.catalogue.on_tick(observed) or observed.market in self._tickers:
            return []
        channel, event_ms = f"ticker:{observed.market}", observed.time_us // 1000
        return [
            record.update(channel, "ticker", event_ms, codec.encode(observed_figures(observed)))
        ]

    def _on_report(self, record: LogRecord) -> list[Update]:
        report = codec.decode(_reports, record.value)
        if not self.catalogue.on_report(report):
            return []
        return [record.update(STATUS, report.venue, report.time_ms, codec.encode(report))]

    # --------------------------------------------------------------- snapshots

    def _candles(self, channel: str, market: Market, interval: Interval, count: int) -> Snapshot:
        series = self.overlay.series(market, interval)
        if series is None:
            return Snapshot(self._seqs.get(channel, 0), [], is_short=True)
        found, is_short = series.newest(count)
        seq = self._seqs.get(channel, 0)
        return Snapshot(seq, [codec.encode(candle) for candle in found], is_short)

    def _probabilities(
        self, channel: str, market: Market, interval: Interval, count: int
    ) -> Snapshot:
        known = self.forecasts.predictions(market, interval)
        return self._snapshot(channel, fresh(known, now_ms=self.forecasts.heard_ms)[:count])

    def _snapshot(self, channel: str, entries: Sequence[msgspec.Struct]) -> Snapshot:
        return Snapshot(self._seqs.get(channel, 0), [codec.encode(entry) for entry in entries])

    def _ticker(self, market: Market) -> Ticker:
        ticker = self._tickers.get(market)
        if ticker is None:
            ticker = self._tickers[market] = Ticker(market)
        return ticker
