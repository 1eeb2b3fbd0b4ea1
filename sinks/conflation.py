"""Which candles of many batches are worth writing."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from chaintide.streams.records import Candle, CandleBatch, Gap, Market

Version = tuple[int, int]
"""The (generation, offset) of a batch: of two batches of a market the higher one is newer."""


def version(batch: CandleBatch) -> Version:
    """Return how new ``batch`` is."""
    return batch.generation, batch.offset


def conflate(batches: Iterable[CandleBatch], newest: Mapping[Market, Version]) -> list[CandleBatch]:
    """Return one batch per market that says all that ``batches`` say in the end.

    Left out are candles and gaps that a later batch repeats, and stale batches: those older
    than an earlier one, or than what ``newest`` says is stored already.

    >>> old, new = (CandleBatch(market="x:Y", generation=g, offset=9, candles=[]) for g in (1, 2))
    >>> [batch.generation for batch in conflate([new, old], {})]
    [2]
    >>> conflate([old], {"x:Y": (2, 0)})
    []
    """
    chosen: dict[Market, CandleBatch] = {}
    candles: dict[Market, dict[tuple[str, int], Candle]] = {}
    gaps: dict[Market, dict[int, Gap]] = {}
    for batch in batches:
        market = batch.market
        held = version(chosen[market]) if market in chosen else newest.get(market, version(batch))
        if version(batch) < held:
            continue
        chosen[market] = batch
        candles.setdefault(market, {}).update(
            ((candle.interval, candle.open_time_ms), candle) for candle in batch.candles
        )
        gaps.setdefault(market, {}).update((gap.from_us, gap) for gap in batch.gaps)
    return [
        replace(batch, candles=list(candles[market].values()), gaps=list(gaps[market].values()))
        for market, batch in chosen.items()
    ]
