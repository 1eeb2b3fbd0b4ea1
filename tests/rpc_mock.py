"""A node over HTTP that tells of a fake chain, and lies, limps or refuses as it is told."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from chains import RULES, Block, FakeChain

from chaintide.streams.chain.blocks import RawLog
from chaintide.streams.chain.pools import call_of
from chaintide.streams.chain.receipts import RawReceipt, receipts_root

USDC = "0x" + "c0" * 20
FAULTS = (
    "429",
    "503",
    "time-out",
    "hangs up",
    "not JSON",
    "too busy",
    "range limit",
    "lagging node",
    "empty logs",
    "interior drop",
    "cut tail",
    "wrong hash",
    "duplicate index",
    "head goes back",
    "finalized above head",
    "finalized is another block",
    "header is missing",
    "wrong header",
    "forged header",
)


class MockNode:
    """One endpoint. ``faults`` says how often each fault is still to happen."""

    def __init__(self, chain: FakeChain, *, chain_id: int = RULES.chain_id) -> None:
        self.chain = chain
        self.chain_id = chain_id
        self.faults: Counter[str] = Counter()
        self.dead: set[str] = set()  # methods that fail until they are taken out
        self.happened: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.callers: Counter[tuple[str, int]] = Counter()  # requests by connection
        self.has_receipts = True
        self.has_finalized = True
        self.has_batches = True
        self.spoils = {"blocks", "ranges"}  # where logs are spoilt
        self.range_limit = 1_000_000
        self.silent_range = 1_000_000  # as many blocks end in a time-out of the node's own
        self.scale_of = lambda token: 6 if token == USDC else 18
        self.told_first: dict[str, list[dict[str, Any]]] = {}  # by method, before the truth
        self._headers: dict[str, dict[str, str]] = {}
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_post("/", self._serve)
        self.server = TestServer(app)

    async def __aenter__(self) -> "MockNode":
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self.server.close()

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))

    def takes(self, *faults: str) -> str | None:
        """Return the first of ``faults`` that is due, and count it as happened."""
        for fault in faults:
            if self.faults[fault] > 0:
                self.faults[fault] -= 1
                self.happened[fault] += 1
                return fault
        return None

    async def _serve(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.callers[_caller(request)] += 1
        calls = asked if isinstance(asked, list) else [asked]
        if any(call["method"] in self.dead for call in calls):
            self.happened["dead"] += 1
            return web.Response(status=503)
        if fault := self.takes("429", "503", "time-out", "hangs up", "not JSON"):
            return await self._fail(request, fault)
        if not isinstance(asked, list):
            return web.json_response(self._answer(asked))
        if not self.has_batches:
            return web.json_response(answer({"id": None}, error={"code": -32600, "message": "one"}))
        self.calls["batches"] += 1
        return web.json_response([self._answer(call) for call in reversed(calls)])

    async def _fail(self, request: web.Request, fault: str) -> web.Response:
        match fault:
            case "429" | "503":
                return web.Response(status=int(fault))
            case "time-out":
                await self._stop.wait()
            case "hangs up" if request.transport is not None:
                request.transport.close()
        return web.Response(text="<html>")

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        self.calls[call["method"]] += 1
        if self.takes("too busy"):
            return answer(call, error={"code": -32005, "message": "request limit reached"})
        if first := self.told_first.get(call["method"]):
            return answer(call, **first.pop())
        handle = getattr(self, f"_{call['method']}", None)
        if handle is None:
            return answer(call, error={"code": -32601, "message": "no such method"})
        try:
            return answer(call, result=handle(*call["params"]))
        except LookupError as error:
            return answer(call, error={"code": -32005, "message": str(error)})

    # ----------------------------------------------------------------- methods

    def _eth_chainId(self) -> str:  # noqa: N802
        return hex(self.chain_id)

    def _eth_getBlockByNumber(self, number: str, _full: bool) -> Any:  # noqa: N802
        match number:
            case "latest":
                return self._head()
            case "finalized":
                return self._finalized()
        if self.takes("header is missing"):
            return None
        place = int(number, 16)
        if place > 0 and self.takes("wrong header"):
            place -= 1
        if place >= len(self.chain.blocks):
            return None
        told = self._header(self.chain.blocks[place])
        return forged(told) if self.takes("forged header") else told

    def _eth_getBlockByHash(self, block_hash: str, _full: bool) -> Any:  # noqa: N802
        block = self.chain.by_hash.get(block_hash)
        return self._header(block) if block else None

    def _eth_getBlockReceipts(self, block_hash: str) -> Any:  # noqa: N802
        if not self.has_receipts:
            raise LookupError("the method does not exist/is not available")
        block = self.chain.by_hash.get(block_hash)
        if block is None:
            return None
        logs = self._spoilt(block, "blocks")
        return [to_json(receipt) for receipt in receipts(block, logs)]

    def _eth_getLogs(self, wanted: dict[str, Any]) -> Any:  # noqa: N802
        if (block_hash := wanted.get("blockHash")) is not None:
            block = self.chain.by_hash.get(block_hash)
            return (
                None if block is None else [to_json(log) for log in self._spoilt(block, "blocks")]
            )
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        if len(wanted["address"]) > 1_000:
            raise LookupError("exceed max addresses")
        if last - first >= self.silent_range:
            raise web.HTTPGatewayTimeout
        if last - first >= self.range_limit or self.takes("range limit"):
            raise LookupError("query returned more than 10000 results")
        return [
            to_json(log)
            for block in self.chain.blocks[first : last + 1]
            for log in self._spoilt(block, "ranges")
            if log.address in wanted["address"]
        ]

    def _eth_call(self, asked: dict[str, str], at: Any) -> str:
        """The AMM says that each of its pools trades the token of its id for USDC."""
        if isinstance(at, dict) and self.takes("block is forgotten"):
            raise LookupError("missing trie node")
        answers = {
            call_of("pools(bytes32)"): "0x" + "00" * 12 + asked["data"][10:50],
            call_of("usdc()"): "0x" + "00" * 12 + USDC[2:],
            call_of("decimals()"): hex_word(self.scale_of(asked["to"])),
            call_of("symbol()"): "0x" + b"USDC".ljust(32, b"\0").hex(),
        }
        return answers[asked["data"][:10]]

    def _head(self) -> Any:
        blocks = self.chain.blocks
        match self.takes("lagging node", "head goes back"):
            case "lagging node":
                return self._header(blocks[max(0, len(blocks) - 4)])
            case "head goes back":
                return self._header(blocks[0])
        return self._header(blocks[-1])

    def _finalized(self) -> Any:
        if not self.has_finalized:
            raise LookupError("the method does not exist/is not available")
        final = self.chain.finalized
        if final is None:
            return None
        told = self._header(self.chain.blocks[final.number])
        match self.takes("finalized above head", "finalized is another block"):
            case "finalized above head":
                return told | {"number": hex(len(self.chain.blocks) + 50)}
            case "finalized is another block":
                return told | {"hash": "0x" + "66" * 32}
        return told

    def _header(self, block: Block) -> dict[str, str]:
        told = self._headers.get(block.header.hash)
        if told is None:
            told = self._headers[block.header.hash] = header(block)
        return told

    def _spoilt(self, block: Block, where: str) -> list[RawLog]:
        logs = list(block.logs)
        if len(logs) < 3 or where not in self.spoils:
            return logs
        match self.takes(
            "empty logs", "interior drop", "cut tail", "wrong hash", "duplicate index"
        ):
            case "empty logs":
                return []
            case "interior drop":
                del logs[1]
            case "cut tail":
                del logs[-1]
            case "wrong hash":
                logs[1] = msgspec.structs.replace(logs[1], block_hash="0x" + "66" * 32)
            case "duplicate index":
                logs[2] = msgspec.structs.replace(logs[2], log_index=logs[1].log_index)
        return logs


def _caller(request: web.Request) -> tuple[str, int]:
    """Return the other end of the connection."""
    assert request.transport is not None
    return request.transport.get_extra_info("peername")


def hex_word(number: int) -> str:
    return "0x" + number.to_bytes(32).hex()


def answer(call: dict[str, Any], **outcome: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], **outcome}


def to_json(record: RawLog | RawReceipt) -> Any:
    return msgspec.to_builtins(record)


def receipts(block: Block, logs: Iterable[RawLog]) -> list[RawReceipt]:
    """Return receipts that hold ``logs``, one for each transaction of ``block``."""
    inside: dict[str, list[RawLog]] = {log.transaction_hash: [] for log in block.logs}
    for log in logs:
        inside[log.transaction_hash].append(log)
    return [
        RawReceipt(
            cumulative_gas_used=hex(21_000 * (n + 1)),
            logs_bloom="0x" + "00" * 256,
            logs=held,
            type="0x2",
            status="0x1",
        )
        for n, held in enumerate(inside.values())
    ]


def forged(told: dict[str, str]) -> dict[str, str]:
    """Return a whole header of that hash, which says that nothing happened in the block."""
    words = ("sha3Uncles", "stateRoot", "transactionsRoot", "mixHash")
    numbers = ("difficulty", "gasLimit", "gasUsed")
    return {
        **told,
        **dict.fromkeys(words, hex_word(0)),
        **dict.fromkeys(numbers, "0x0"),
        "miner": "0x" + "00" * 20,
        "nonce": "0x" + "00" * 8,
        "extraData": "0x",
        "logsBloom": "0x" + "00" * 256,
        "receiptsRoot": receipts_root([]),
    }


def header(block: Block) -> dict[str, str]:
    told = block.header
    return {
        "number": hex(told.number),
        "hash": told.hash,
        "parentHash": told.parent_hash,
        "timestamp": hex(told.time_ms // 1000),
        "logsBloom": f"0x{told.bloom:0512x}",
        "receiptsRoot": receipts_root(receipts(block, block.logs)),
    }
