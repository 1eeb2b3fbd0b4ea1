"""The shell around CoinGecko: asks in turn, publishes what it observes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chaintide.streams.errors import BadRecordError, RetryableError
from chaintide.streams.feeds import coingecko
from chaintide.streams.feeds.adapter import Request
from chaintide.streams.feeds.coingecko import PriceTick, Trending
from chaintide.streams.feeds.outbox import Outbox
from chaintide.streams.feeds.rest import Rest
from chaintide.streams.feeds.status import FeedStatus

logger = logging.getLogger(__name__)
INTERVAL_S: Final = 60.0
_OVERVIEW_EVERY: Final = 10


@dataclass(slots=True)
class Poll:
    """Polls prices every minute, which is how often the venue refreshes them.

    Every tenth minute it also reads the 100 largest coins and the trending ones.
    """

    outbox: Outbox
    rest: Rest
    now_ms: Callable[[], int]
    status: FeedStatus

    async def run(self) -> None:
        """Poll until cancelled; a failed round is logged and the next one tries again."""
        rounds = 0
        while True:
            try:
                await self.poll(is_overview_due=rounds % _OVERVIEW_EVERY == 0)
            except (BadRecordError, RetryableError) as error:
                self.status.state, self.status.last_error = "connecting", str(error)
                self.status.bad_messages += isinstance(error, BadRecordError)
                logger.warning("no prices venue=%s reason=%s", self.status.venue, error)
            rounds += 1
            await asyncio.sleep(INTERVAL_S)

    async def poll(self, *, is_overview_due: bool) -> None:
        """Ask once and publish the answers."""
        answer = await self._get(coingecko.prices_request(self.status.markets))
        await self._publish(coingecko.parse_prices(answer))
        if is_overview_due:
            answer = await self._get(coingecko.markets_request("USD"))
            await self._publish(coingecko.parse_markets("USD", answer))
            answer = await self._get(coingecko.TRENDING_REQUEST)
            await self._publish([coingecko.parse_trending(self.now_ms() * 1000, answer)])

    async def _get(self, request: Request) -> bytes:
        answer = await self.rest.get(request)
        self.status.last_message_ms = self.now_ms()
        self.status.state = "live"
        return answer

    async def _publish(self, observations: Sequence[PriceTick | Trending]) -> None:
        for observation in observations:
            await self.outbox.send(observation)
