"""Clients of the gateway in a process of their own, that lose their connections at random.

``python crowd.py PORT CLIENTS KILLS MARKETS`` connects clients, each to ``ticker`` (latest) and
``trades`` (buffer) of one market, cuts each of them off KILLS times and lets it resume. It prints
``resumed`` once all have done that, and what everybody got once everybody has got the last
update: for each client and channel, see ``Got``.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, field
from random import Random

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

KILL_S = 3.0
AT_ONCE = 50  # handshakes
LAST = -1


@dataclass
class Got:
    """What came of one channel after ``first``, and all that was wrong with it.

    ``conflated`` were said to be left out. ``jumps`` are positions that do not follow from the
    one before, ``repeats`` are updates at or below it, ``restarts`` resumptions that failed.
    """

    channel: str
    first: int | None = None
    position: int | None = None
    seqs: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    conflated: int = 0
    jumps: int = 0
    repeats: int = 0
    restarts: int = 0

    @property
    def is_over(self) -> bool:
        return bool(self.numbers) and self.numbers[-1] == LAST

    def on_answer(self, answer: dict) -> None:
        if self.position is None:
            self.first = self.position = answer["seq"]
        elif answer["recovered"] is not True:
            self.restarts += 1

    def on_message(self, message: dict) -> None:
        if message["type"] != "update":
            self.restarts += message["type"] == "snapshot"
            return
        self.jumps += message["prev"] != self.position
        self.repeats += message["seq"] <= self.position
        self.position = message["seq"]
        self.conflated += message["conflated"]
        self.seqs.append(message["seq"])
        self.numbers.append(message["data"]["n"])


class Client:
    """One client, which comes back whenever it is cut off."""

    def __init__(self, number: int, market: str, kills: int) -> None:
        self.random = Random(number)
        self.kills = kills
        self.resumed = asyncio.Event()
        self.got = {name: Got(name) for name in (f"ticker:{market}", f"trades:{market}")}
        self.epoch = ""

    async def run(self, url: str, door: asyncio.Semaphore) -> None:
        while not self._is_over:
            try:
                async with door:
                    connection = await connect(url, compression=None, max_size=None)
                await self._stay(connection)
            except (ConnectionClosed, OSError):
                continue

    @property
    def _is_over(self) -> bool:
        return all(got.is_over for got in self.got.values())

    async def _stay(self, connection: ClientConnection) -> None:
        async with connection:
            if self.kills:
                self.kills -= 1
                delay_s = self.random.random() * KILL_S
                asyncio.get_running_loop().call_later(delay_s, connection.transport.abort)
                await self._read(connection)
            else:
                await self._read(connection, self.resumed)

    async def _read(
        self, connection: ClientConnection, subscribed: asyncio.Event | None = None
    ) -> None:
        channels = [self._wanted(got) for got in self.got.values()]
        await connection.send(json.dumps({"id": 1, "op": "subscribe", "channels": channels}))
        while not self._is_over:
            for line in (await connection.recv()).split("\n"):
                message = msgspec.json.decode(line)
                if "results" in message:
                    for answer in message["results"]:
                        self.epoch = answer["epoch"]
                        self.got[answer["ch"]].on_answer(answer)
                    if subscribed is not None:
                        subscribed.set()
                elif "ch" in message:
                    self.got[message["ch"]].on_message(message)

    def _wanted(self, got: Got) -> dict:
        policy = "buffer" if got.channel.startswith("trades") else "latest"
        wanted = {"ch": got.channel, "policy": policy}
        if got.position is not None:
            wanted["resume"] = {"epoch": self.epoch, "seq": got.position}
        return wanted


async def main(port: int, count: int, kills: int, markets: int) -> None:
    clients = [Client(n, f"sim:M{n % markets}-USD", kills) for n in range(count)]
    door = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(f"ws://127.0.0.1:{port}/ws/v1", door))
        for client in clients:
            await client.resumed.wait()
        sys.stdout.write("resumed\n")
        sys.stdout.flush()
    json.dump([asdict(got) for client in clients for got in client.got.values()], sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
