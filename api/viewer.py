"""``chaintide watch``: the newest candles of a market in the terminal, as they change."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from chaintide.api.client import stream
from chaintide.api.listing import as_table
from chaintide.api.naming import advice, market_of
from chaintide.api.positions import Event, RefusedError
from chaintide.api.words import counted
from chaintide.streams.errors import ConfigError
from chaintide.streams.intervals import Interval
from chaintide.streams.records import Candle, Market

SHOWN: Final = 15
PATIENCE_S: Final = 5.0
STATE_COLORS: Final = {"live": "green", "reconnecting": "yellow"}


@dataclass(slots=True)
class Newest:
    """The newest candles of what is called ``title``; ``state`` says how the connection is."""

    title: str
    state: str = "connecting"
    candles: dict[int, Candle] = field(default_factory=dict[int, Candle])

    def on_event(self, event: Event) -> list[Candle]:
        """Take what came and return the candles that changed."""
        self.state = "live"
        rows = event.data if event.type == "snapshot" else [event.data]
        changed = [msgspec.convert(row, Candle) for row in rows]
        if event.type == "snapshot":
            self.candles.clear()
        for candle in changed:
            self.candles[candle.open_time_ms] = candle
        for open_ms in sorted(self.candles)[:-SHOWN]:
            del self.candles[open_ms]
        return changed

    def table(self) -> Group:
        """Return what the terminal shows."""
        word, _, reason = self.state.partition(":")
        color = STATE_COLORS.get(word, "yellow")
        head = Text.assemble((self.title, "bold"), "  ", (f"● {word}", color), reason)
        return Group(head, as_table([self.candles[open_ms] for open_ms in sorted(self.candles)]))


def line(title: str, candle: Candle) -> str:
    """Return a candle as one line of text, for terminals that cannot be redrawn."""
    mark = candle.status if candle.complete else f"{candle.status}, incomplete"
    opened = datetime.fromtimestamp(candle.open_time_ms / 1000, UTC)
    return (
        f"{title} {opened:%Y-%m-%dT%H:%MZ} O {candle.open} "
        f"H {candle.high} L {candle.low} C {candle.close} V {candle.volume} "
        f"({counted(candle.trades, 'trade')}, {mark}, revision {candle.revision})"
    )


async def watch(url: str, market: str, interval: Interval, console: Console) -> None:
    """Show the candles of ``market``, or of the one that is called so, until cancelled.

    Raises:
        ConfigError: If there is no server at ``url``, or no such market.
    """
    names = await _names(url)
    meant = market_of(market, names) or Market(market)
    newest = Newest(f"{names.get(meant, meant)} {interval}")

    def on_break(reason: str) -> None:
        newest.state = f"reconnecting: {reason}"
        if not console.is_terminal:
            console.print(newest.state)

    events = stream(url, f"candles:{meant}:{interval}", snapshot=SHOWN, on_break=on_break)
    try:
        if not console.is_terminal:
            async for event in events:
                for candle in newest.on_event(event):
                    console.print(line(newest.title, candle), soft_wrap=True, highlight=False)
            return
        with Live(console=console, refresh_per_second=4, get_renderable=newest.table):
            async for event in events:
                newest.on_event(event)
    except RefusedError as error:
        said = advice(market, names) if names else f"no market {market}: {error}"
        raise ConfigError(f"{said} (at {url})") from error


async def _names(url: str) -> dict[Market, str]:
    """Return what the markets of the server at ``url`` are called, nothing if it has no REST."""
    parts = urlsplit(url)
    place = (parts.scheme.replace("ws", "http", 1), parts.netloc, "/v1/markets", "", "")
    patience = aiohttp.ClientTimeout(total=PATIENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=patience) as session,
            session.get(urlunsplit(place)) as response,
        ):
            body = await response.json()
            return {Market(entry["market"]): entry["name"] for entry in body["markets"]}
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
        return {}
