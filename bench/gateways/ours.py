"""Our gateway; ``apart`` writes each message by itself, as the others do."""

import asyncio
import sys
import time
from collections.abc import Iterable
from random import Random

from chaintide.api.live.directory import Directory
from chaintide.api.live.hub import Hub
from chaintide.api.live.update import Snapshot, Update
from chaintide.api.sockets.admission import Admission
from chaintide.api.sockets.gateway import Address, serving, text_frame
from chaintide.api.sockets.pump import Clocks, Pump
from gateways.flow import obey, run

CROWD = 1_000_000


class Empty:
    """Channels of which nothing is known before the first update."""

    def snapshot(self, _channel: str, _count: int) -> Snapshot:
        return Snapshot(seq=0, data=[])


class ApartPump(Pump[bytes]):
    """A pump that never joins anything."""

    def publish(self, updates: Iterable[Update]) -> None:
        for update in updates:
            self.hub.publish([update])
            self._flush()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def load(_channel: str, _count: int) -> None:
    """Load nothing."""


async def serve(port: int, channels: int, kind: type[Pump[bytes]]) -> None:
    pump = kind(
        Hub(Directory("bench", Empty()), jitter=Random(1).random),
        text_frame,
        load,
        Clocks(now_ms, now_ms),
    )

    async def publish(updates: list[Update]) -> None:
        pump.publish(updates)

    ticking = asyncio.create_task(pump.run())
    async with serving(pump, Admission(per_address=CROWD), Address("127.0.0.1", port)):
        await obey(publish, channels)
    ticking.cancel()


if __name__ == "__main__":
    _, loop, port, channels, kind = sys.argv
    run(serve(int(port), int(channels), ApartPump if kind == "apart" else Pump), loop)
