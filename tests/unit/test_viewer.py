"""What ``chaintide watch`` shows."""

import asyncio
import io

import msgspec
import pytest
from candles import MARKET, candle
from rich.console import Console
from sites import running_asgi

from chaintide.api.live.limits import Limits
from chaintide.api.positions import Event
from chaintide.api.sockets.admission import Admission
from chaintide.api.viewer import SHOWN, Newest, line, watch
from chaintide.streams.errors import ConfigError
from chaintide.streams.records import Candle

CHANNEL = f"candles:{MARKET}:1m"
TITLE = f"{MARKET} 1m"


def event(kind: str, *candles: Candle) -> Event:
    rows = [msgspec.to_builtins(candle) for candle in candles]
    return Event(CHANNEL, kind, 1, rows if kind == "snapshot" else rows[0])


def shown(newest: Newest) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(newest.table())
    return console.file.getvalue()


def test_the_newest_candles_are_shown_in_their_newest_form():
    newest = Newest(TITLE)
    newest.on_event(event("snapshot", *[candle(minute) for minute in range(SHOWN)]))
    changed = candle(SHOWN - 1, close="123.456")
    newest.on_event(event("correction", changed))
    newest.on_event(event("update", candle(SHOWN)))
    assert len(newest.candles) == SHOWN
    assert min(newest.candles) == candle(1).open_time_ms
    assert newest.candles[changed.open_time_ms] == changed
    text = shown(newest)
    assert f"{TITLE}  ● live" in text
    assert "123.456" in text


def test_a_snapshot_replaces_all_that_was_there():
    newest = Newest(TITLE)
    newest.on_event(event("snapshot", candle(1), candle(2)))
    newest.on_event(event("snapshot", candle(5)))
    assert list(newest.candles) == [candle(5).open_time_ms]


def test_a_break_is_shown_with_its_reason():
    newest = Newest(TITLE, state="reconnecting: connection closed")
    assert "● reconnecting connection closed" in shown(newest)


def test_a_line_says_all_of_a_candle():
    assert line(TITLE, candle(0, open="7", high="9", low="6", close="8", volume="0.5")) == (
        f"{MARKET} 1m 1970-01-01T00:00Z O 7 H 9 L 6 C 8 V 0.5 (3 trades, closed, revision 1)"
    )
    assert "(3 trades, closed, incomplete, revision 1)" in line(TITLE, candle(0, complete=False))


@pytest.fixture
async def url():
    async with running_asgi(Limits(), Admission()) as site:
        site.publish(CHANNEL, msgspec.to_builtins(candle(3)))
        yield f"ws://127.0.0.1:{site.port}/ws/v1"


async def test_without_a_terminal_every_change_is_a_line(url):
    console = Console(file=io.StringIO())
    watching = asyncio.create_task(watch(url, MARKET, "1m", console))
    async with asyncio.timeout(60):
        while not console.file.getvalue():  # noqa: ASYNC110  a console tells nobody
            await asyncio.sleep(0.01)
    watching.cancel()
    assert console.file.getvalue() == line(TITLE, candle(3)) + "\n"


async def test_an_unknown_market_is_an_error(url):
    with pytest.raises(ConfigError, match=r"no market kraken:unknown-USD: no channel.*at ws://"):
        await watch(url, "kraken:unknown-USD", "1m", Console(file=io.StringIO()))
