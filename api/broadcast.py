"""The shell that gives what the state learns to the clients of ``/ws/v1``."""

import logging
import random
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from chaintide.api.follower import Follower
from chaintide.api.live.channels import parse_channel
from chaintide.api.live.directory import Directory
from chaintide.api.live.hub import Hub
from chaintide.api.live.update import Update
from chaintide.api.loading import CandleReader
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.garbage import keep
from chaintide.api.sockets.pump import Clocks, Pump
from chaintide.streams.errors import ChaintideError
from chaintide.streams.intervals import WIDTH_MS
from chaintide.streams.records import Market

logger = logging.getLogger(__name__)
DRAINED: Final = "shutdown"
T = TypeVar("T")


class Broadcast(Generic[T]):
    """The hub of one serving process; it lets clients in once the log has been read.

    What is published before that becomes the past of its channels, so that clients of another
    process, or of this one before it was started again, can resume.
    """

    def __init__(
        self,
        reader: CandleReader,
        prepare: Callable[[bytes], T],
        admission: Admission,
        clocks: Clocks,
    ) -> None:
        self._reader = reader
        self.admission = admission
        admission.is_open = False
        self._directory = Directory("", reader.view, advise=reader.view.catalogue.advice)
        hub = Hub(self._directory, jitter=random.random)
        self.pump = Pump(hub, prepare, self._load, clocks)

    def publish(self, updates: Sequence[Update]) -> None:
        """Send updates to whoever wants them."""
        self.pump.publish(updates)

    async def run(self, follower: Follower) -> None:
        """Serve until cancelled, from when ``follower`` has caught up."""
        await follower.caught_up.wait()
        keep()
        self._directory.epoch = follower.epoch
        self.admission.is_open = True
        try:
            await self.pump.run()
        finally:
            self.admission.is_open = False

    async def drain(self) -> None:
        """Tell every client to connect again later, and let it go."""
        self.admission.is_open = False
        await self.pump.drain(DRAINED)

    async def _load(self, name: str, _count: int) -> None:
        channel = parse_channel(name)
        if channel is None or channel.param not in WIDTH_MS:
            return
        try:
            await self._reader.load(Market(channel.subject), channel.param)
        except ChaintideError as error:
            logger.warning("no older candles channel=%s reason=%s", name, error)
