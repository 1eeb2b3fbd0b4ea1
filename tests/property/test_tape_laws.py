"""Laws of the tape: what clients and the server show is what the chain has left standing."""

import json

from hypothesis import given
from hypothesis import strategies as st
from unit.test_view_chains import Log, trades, undo

from chaintide.streams.records import Final

BLOCKS = st.integers(1, 8)
STEPS = st.lists(
    st.tuples(st.just("grow"), st.integers(0, 3))
    | st.tuples(st.sampled_from(["undo", "final", "again", "takeover", "zombie"]), BLOCKS),
    max_size=30,
)


class Chain:
    """A chain as its follower writes it, and a client that hears of it."""

    def __init__(self) -> None:
        self.log = Log()
        self.blocks: list[list[int]] = []
        self.client: dict[int, int] = {}
        self.epoch, self.final = 1, 0

    def say(self, value: object) -> None:
        for update in self.log.say(value):
            data = json.loads(update.data)
            if update.type == "retraction":
                above = data["above_block"]
                self.client = {i: block for i, block in self.client.items() if block <= above}
            else:
                self.client |= {trade["trade_id"]: trade["block"] for trade in data}

    def grow(self, count: int) -> None:
        number = len(self.blocks) + 1
        ids = [number << 20 | place for place in range(count)]  # as in the block it replaces
        self.blocks.append(ids)
        if ids:
            self.say(trades(number, *ids, epoch=self.epoch))

    def undo(self, to_number: int) -> None:
        to_number = max(to_number, self.final)
        del self.blocks[to_number:]
        self.say(undo(to_number, self.epoch))

    def settle(self, number: int) -> None:
        self.final = max(self.final, min(number, len(self.blocks)))
        news = {"block_hash": "0x", "time_ms": 5_000, "epoch": self.epoch}
        self.say(Final(chain="local", number=self.final, **news))

    def zombie(self, number: int) -> None:
        if self.epoch > 1:
            self.say(trades(number, 1_000_000_000 + number, epoch=self.epoch - 1))
            self.say(undo(0, self.epoch - 1))

    def step(self, name: str, number: int) -> None:
        match name:
            case "grow":
                self.grow(number)
            case "undo":
                self.undo(number)
            case "final":
                self.settle(number)
            case "takeover":
                self.epoch += 1
                self.undo(min(number, len(self.blocks)))
            case "zombie":
                self.zombie(number)
            case _:
                standing = self.blocks[number - 1 : number]
                for ids in filter(None, standing):
                    self.say(trades(number, *ids, epoch=self.epoch))


@given(STEPS)
def test_server_and_clients_show_what_no_undo_has_taken_back(steps):
    chain = Chain()
    for name, number in steps:
        chain.step(name, number)
        standing = {i: n for n, ids in enumerate(chain.blocks, 1) for i in ids}
        assert sorted(chain.log.ids()) == sorted(standing)
        assert chain.client == standing
