"""The gaps of one market: what opens them, and what filling one leaves."""

import msgspec

from chaintide.streams.records import Gap, Reason

MAX_GAPS = 1_000


def after(gaps: list[Gap], news: Gap) -> tuple[list[Gap], list[Gap]]:
    """Return the open gaps once ``news`` is known, and the records that say what changed.

    Beyond 1,000 open gaps the oldest is forgotten here; the store still lists it.
    """
    kept = [gap for gap in gaps if not (news.filled and _overlap(gap, news))]
    if news.filled:
        for cut in gaps:
            if _overlap(cut, news):
                kept += _rest(cut, news)
    elif news not in kept:
        kept.append(news)
    changed = [msgspec.structs.replace(gap, filled=True) for gap in gaps if gap not in kept]
    changed += [gap for gap in kept if gap not in gaps]
    return sorted(kept, key=lambda gap: (gap.from_us, gap.to_us))[-MAX_GAPS:], changed


def cause(gaps: list[Gap], times_us: list[int]) -> Reason:
    """Return why trades of these times correct a candle.

    >>> gap = Gap(market="kraken:BTC-USD", from_us=5, to_us=9, reason="down")
    >>> cause([gap], [4, 5]), cause([gap], [4, 9])
    ('backfill', 'late')
    """
    is_missed = any(gap.from_us <= time_us < gap.to_us for gap in gaps for time_us in times_us)
    return "backfill" if is_missed else "late"


def are_in(gaps: list[Gap], open_us: int, close_us: int) -> bool:
    """Return whether one of ``gaps`` touches the window ``[open_us, close_us)``."""
    return any(gap.from_us < close_us and open_us < gap.to_us for gap in gaps)


def _overlap(one: Gap, other: Gap) -> bool:
    return one.from_us < other.to_us and other.from_us < one.to_us


def _rest(gap: Gap, filled: Gap) -> list[Gap]:
    """Return what is left of ``gap`` when ``filled`` is taken out."""
    parts = ((gap.from_us, filled.from_us), (filled.to_us, gap.to_us))
    return [msgspec.structs.replace(gap, from_us=a, to_us=b) for a, b in parts if a < b]
