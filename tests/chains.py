"""A chain to test with: real blooms, real reorgs, swaps on a few pools."""

from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from random import Random

from property.recompute import PlainTrade

from chaintide.streams.chain.abi import Events
from chaintide.streams.chain.blocks import Header, RawLog
from chaintide.streams.chain.bloom import bloom_of
from chaintide.streams.chain.follower import ChainRules
from chaintide.streams.chain.pools import OWN, Pools
from chaintide.streams.chain.swaps import Pool
from chaintide.streams.chain.watch import Factory, Kind, Named, Watch
from chaintide.streams.records import Market

CHAIN = "local"
START_MS = 1_700_438_400_000
FINALITY = 12


def _input(name: str, kind: str, *, indexed: bool = False) -> dict[str, object]:
    return {"name": name, "type": kind, "indexed": indexed}


SWAP_ABI = {
    "type": "event",
    "name": "Swap",
    "inputs": [
        _input("credentialId", "bytes32", indexed=True),
        _input("user", "address", indexed=True),
        _input("tokenAmount", "int256"),
        _input("usdcAmount", "int256"),
        _input("fee", "uint256"),
    ],
}
CREATED_ABI = {
    "type": "event",
    "name": "TokenCreated",
    "inputs": [_input("token", "address", indexed=True), _input("note", "string")],
}
TRANSFER_ABI = {
    "type": "event",
    "name": "Transfer",
    "inputs": [
        _input("from", "address", indexed=True),
        _input("to", "address", indexed=True),
        _input("value", "uint256"),
    ],
}
AMM, FACTORY = "0x" + "a1" * 20, "0x" + "fa" * 20
IDS = ["0x" + bytes([n] * 32).hex() for n in range(1, 6)]
KINDS = {
    "amm": Kind(Events([SWAP_ABI]), streams=("credentialId",), market=OWN),
    "factory": Kind(Events([CREATED_ABI]), (Factory("TokenCreated", "token", "token"),)),
    "token": Kind(Events([TRANSFER_ABI])),
}
POOLS = {f"{AMM}/{pool}": Pool(Market(f"{CHAIN}:T{n}-USDC"), 18, 6) for n, pool in enumerate(IDS)}
RULES = ChainRules(chain=CHAIN, chain_id=31337)


def new_watch() -> Watch:
    return Watch(CHAIN, KINDS, {AMM: Named("amm"), FACTORY: Named("factory")})


def new_pools() -> Pools:
    return Pools(CHAIN, CHAIN, known=dict(POOLS))


@dataclass(frozen=True)
class Block:
    header: Header
    logs: tuple[RawLog, ...]
    trades: tuple[tuple[str, PlainTrade], ...] = ()


@dataclass
class FakeChain:
    """The canonical chain, and every block that ever was."""

    random: Random
    blocks: list[Block] = field(default_factory=list)
    by_hash: dict[str, Block] = field(default_factory=dict)
    made: int = 0
    final: int = -1

    def __post_init__(self) -> None:
        self.grow()

    @property
    def head(self) -> Header:
        return self.blocks[-1].header

    @property
    def finalized(self) -> Header | None:
        return self.at(self.settle())

    def at(self, number: int) -> Header | None:
        return self.blocks[number].header if 0 <= number < len(self.blocks) else None

    def grow(self, count: int = 1) -> None:
        for _ in range(count):
            block = self._make(self.blocks[-1].header if self.blocks else None)
            self.blocks.append(block)
            self.by_hash[block.header.hash] = block

    def reorg(self, depth: int, length: int) -> list[Block]:
        """Replace the last ``depth`` blocks by ``length`` others; return what was replaced."""
        depth = min(depth, len(self.blocks) - 1 - self.settle())
        if depth <= 0:
            return []
        old = self.blocks[-depth:]
        del self.blocks[-depth:]
        self.grow(length)
        return old

    def flap_back(self, old: list[Block]) -> None:
        """Make ``old`` canonical again, and one block longer."""
        parent = self.at(old[0].header.number - 1) if old else None
        if parent and parent.number >= self.settle() and parent.hash == old[0].header.parent_hash:
            del self.blocks[old[0].header.number :]
            self.blocks += old
            self.grow()

    def settle(self) -> int:
        """Return the number of the last block that is final for good."""
        self.final = max(self.final, len(self.blocks) - 1 - FINALITY)
        return self.final

    def trades(self, until: int | None = None) -> dict[str, list[PlainTrade]]:
        """The trades of the canonical chain by market."""
        found: dict[str, list[PlainTrade]] = {}
        for block in self.blocks:
            if until is None or block.header.number <= until:
                for market, trade in block.trades:
                    found.setdefault(market, []).append(trade)
        return found

    def _make(self, parent: Header | None) -> Block:
        self.made += 1
        number = parent.number + 1 if parent else 0
        block_hash = "0x" + blake2b(f"{self.made}".encode(), digest_size=32).hexdigest()
        time_ms = (
            parent.time_ms + self.random.choice([6, 12, 12, 18]) * 1000 if parent else START_MS
        )
        logs: list[RawLog] = []
        trades: list[tuple[str, PlainTrade]] = []
        for tx in range(self.random.choice([0, 0, 1, 2, 4])):
            for _ in range(self.random.choice([1, 1, 2])):
                place = (block_hash, number, tx, len(logs))
                kind = self.random.random()
                if kind < 0.75:
                    log, trade = self._swap(place, time_ms)
                    trades.append(trade)
                elif kind < 0.85:
                    log = self._other(place)
                else:
                    log = self._created(place)
                logs.append(log)
        header = Header(
            number=number,
            hash=block_hash,
            parent_hash=parent.hash if parent else "0x" + "00" * 32,
            time_ms=time_ms,
            bloom=bloom_of(logs),
        )
        return Block(header, tuple(logs), tuple(trades))

    def _swap(
        self, place: tuple[str, int, int, int], time_ms: int
    ) -> tuple[RawLog, tuple[str, PlainTrade]]:
        pool = self.random.randrange(len(IDS))
        base = self.random.choice([1, 2, 4, 5, 8]) * 10 ** self.random.randint(15, 20)
        quote = self.random.randint(1, 10**9)
        bought = self.random.random() < 0.5
        amounts = (-base, quote) if bought else (base, -quote)
        data = (
            "0x"
            + b"".join(
                n.to_bytes(32, signed=True) for n in (*amounts, self.random.randint(0, 99))
            ).hex()
        )
        user = "0x" + "00" * 12 + bytes([self.random.randrange(8)] * 20).hex()
        [topic] = KINDS["amm"].events.topics
        price = Decimal(quote) / 10**6 / (Decimal(base) / 10**18)
        trade = PlainTrade(
            place[1] << 20 | place[3],
            time_ms * 1000,
            price,
            Decimal(base) / 10**18,
            "b" if bought else "s",
            "0x" + user[-40:],
        )
        return raw_log(place, AMM, [topic, IDS[pool], user], data), (
            POOLS[f"{AMM}/{IDS[pool]}"].market,
            trade,
        )

    def _created(self, place: tuple[str, int, int, int]) -> RawLog:
        token = "0x" + "00" * 12 + self.random.randbytes(20).hex()
        [topic] = KINDS["factory"].events.topics
        text = b"made".ljust(32, b"\0")
        data = "0x" + ((32).to_bytes(32) + (4).to_bytes(32) + text).hex()
        return raw_log(place, FACTORY, [topic, token], data)

    def _other(self, place: tuple[str, int, int, int]) -> RawLog:
        return raw_log(place, "0x" + self.random.randbytes(20).hex(), [IDS[0]], "0x")


def raw_log(place: tuple[str, int, int, int], address: str, topics: list[str], data: str) -> RawLog:
    block_hash, number, tx, index = place
    return RawLog(
        address=address,
        topics=topics,
        data=data,
        block_hash=block_hash,
        block_number=hex(number),
        transaction_hash="0x" + blake2b(f"{block_hash}{tx}".encode(), digest_size=32).hexdigest(),
        transaction_index=hex(tx),
        log_index=hex(index),
    )
