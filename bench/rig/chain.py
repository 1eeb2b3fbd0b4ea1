"""A chain in memory as a node tells it, and the whole of web3.py's way through its logs."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from eth_hash.auto import keccak
from web3 import AsyncWeb3
from web3.providers.async_base import AsyncBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from chaintide.contracts.artifacts import artifact
from chaintide.streams.chain.follower import ChainRules
from chaintide.streams.chain.kinds import known_kinds
from chaintide.streams.chain.pools import OWN, Pools, Stranger, Token
from chaintide.streams.chain.receipts import RawReceipt, receipts_root
from chaintide.streams.chain.watch import Named, Watch
from chaintide.streams.topics import CHAIN

AMM, TOKEN, USDC = "0x" + "a1" * 20, "0x" + "70" * 20, "0x" + "c0" * 20
POOLS = ["0x" + bytes([n] * 32).hex() for n in range(1, 21)]
LOGS = 3  # of a transaction: a transfer, a swap, and what the pool holds then


@dataclass
class MemoryNode:
    """A node whose answers lie ready as JSON; it stands where an ``Rpc`` does."""

    rules: ChainRules
    headers: dict[str, bytes] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)
    logs: int = 0
    head: str = ""

    def watch(self) -> Watch:
        named = {AMM: Named("credential-market"), TOKEN: Named("erc20")}
        return Watch(self.rules.chain, known_kinds(), named)

    def pools(self) -> Pools:
        pools = Pools(self.rules.chain, "bench")
        for each in POOLS:
            tokens = Token(TOKEN, "RUST", 18), Token(USDC, "USDC", 6)
            pools.learn(Stranger(f"{AMM}/{each}", OWN, -1, ""), tokens)
        return pools

    def logs_of(self, blocks: int, transactions: int) -> int:
        return blocks * transactions * LOGS

    async def call(self, method: str, *params: object) -> object:
        return msgspec.json.decode(await self.read(method, *params))

    async def read(self, method: str, *params: object) -> bytes:
        match method, *params:
            case "eth_getBlockByNumber", "latest", _:
                return self.headers[self.head]
            case "eth_getBlockByNumber", "finalized", _:
                return b"null"
            case "eth_getBlockByNumber", str(number), _:
                return self.headers[number]
            case "eth_getBlockReceipts", str(which):
                return self.receipts[which]
            case _:
                raise NotImplementedError(method)

    def elsewhere(self) -> None:
        """There is no other node."""


def made_blocks(blocks: int, transactions: int, seed: int) -> MemoryNode:
    """Return a chain of busy blocks, the same for the same ``seed``."""
    random = Random(seed)
    node = MemoryNode(ChainRules(chain=f"{seed + 1}", chain_id=seed + 1, start=1))
    parent = _hash(seed, 0)
    for number in range(1, blocks + 1):
        block_hash = _hash(seed, number)
        receipts = _receipts(random, block_hash, number, transactions)
        root = receipts_root(msgspec.convert(receipts, list[RawReceipt]))
        header = {
            "number": hex(number),
            "hash": block_hash,
            "parentHash": parent,
            "timestamp": hex(1_700_000_000 + 12 * number),
            "logsBloom": "0x" + "00" * 256,
            "receiptsRoot": root,
        }
        node.headers[hex(number)] = msgspec.json.encode(header)
        node.receipts[block_hash] = msgspec.json.encode(receipts)
        node.logs += transactions * LOGS
        node.head, parent = hex(number), block_hash
    return node


def _hash(seed: int, number: int) -> str:
    return "0x" + keccak(f"{seed} {number}".encode()).hex()


def _word(number: int) -> str:
    return number.to_bytes(32, signed=number < 0).hex()


def _topics() -> dict[str, str]:
    kinds = known_kinds()
    return {
        signature.partition("(")[0]: topic
        for kind in ("credential-market", "erc20")
        for topic, signature in kinds[kind].events.topics.items()
    }


def _receipts(random: Random, block_hash: str, number: int, count: int) -> list[dict[str, Any]]:
    topics, receipts, index = _topics(), [], 0
    for place in range(count):
        pool, user = random.choice(POOLS), "0x" + "00" * 12 + random.randbytes(20).hex()
        amounts = -random.randint(10**17, 10**19), random.randint(10**6, 10**9), 3_000
        told = [
            (TOKEN, [topics["Transfer"], user, "0x" + "00" * 12 + AMM[2:]], (amounts[1],)),
            (AMM, [topics["Swap"], pool, user], amounts),
            (AMM, [topics["ReservesUpdated"], pool], (10**24, 10**12)),
        ]
        where = {
            "blockHash": block_hash,
            "blockNumber": hex(number),
            "transactionHash": "0x" + random.randbytes(32).hex(),
            "transactionIndex": hex(place),
        }
        logs = []
        for address, about, words in told:
            data = "0x" + "".join(map(_word, words))
            log = {"address": address, "topics": about, "data": data, "logIndex": hex(index)}
            logs.append(log | where | {"removed": False})
            index += 1
        receipts.append(
            where
            | {
                "cumulativeGasUsed": hex(21_000 * (place + 1)),
                "gasUsed": hex(21_000),
                "logsBloom": "0x" + "00" * 256,
                "logs": logs,
                "type": "0x2",
                "status": "0x1",
                "from": "0x" + user[-40:],
                "to": AMM,
                "contractAddress": None,
                "effectiveGasPrice": "0x1",
            }
        )
    return receipts


class _Provider(AsyncBaseProvider):
    def __init__(self, node: MemoryNode) -> None:
        super().__init__()
        self._node = node

    async def make_request(self, method: RPCEndpoint, params: list[object]) -> RPCResponse:
        result = msgspec.json.decode(await self._node.read(method, *params))
        return {"jsonrpc": "2.0", "id": 1, "result": result}


async def web3_route(node: MemoryNode, producer: AIOKafkaProducer) -> int:
    """Read, decode and produce every log as web3.py's own pages show it; return how many."""
    w3 = AsyncWeb3(_Provider(node))
    market = w3.eth.contract(abi=list(artifact("CredentialMarket").abi))
    token = w3.eth.contract(abi=list(artifact("MarketToken").abi))
    topics = _topics()
    events = {
        topics["Transfer"]: token.events.Transfer(),
        topics["Swap"]: market.events.Swap(),
        topics["ReservesUpdated"]: market.events.ReservesUpdated(),
    }
    done = 0
    for block_hash in node.receipts:
        sent = []
        for receipt in await w3.eth.get_block_receipts(block_hash):
            for log in receipt["logs"]:
                event = events[log["topics"][0].to_0x_hex()].process_log(log)
                value = AsyncWeb3.to_json(event).encode()
                sent.append(await producer.send(CHAIN.name, value, key=log["address"].encode()))
        await asyncio.gather(*sent)
        done += len(sent)
    return done
