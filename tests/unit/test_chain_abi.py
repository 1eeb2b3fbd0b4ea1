"""Decoded events equal those of web3.py, on real logs and on spoilt ones."""

import json
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st
from real_blocks import BLOCKS, real_block
from web3 import Web3
from web3.exceptions import Web3Exception

from chaintide.streams.chain.abi import Decoded, Event, Events, Undecoded
from chaintide.streams.errors import ConfigError


def event(signature: str) -> dict[str, Any]:
    """Return the ABI of ``Name(type [indexed] name, …)``."""
    name, _, inner = signature.partition("(")
    inputs = []
    for part in inner.rstrip(")").split(","):
        kind, *rest = part.split()
        inputs.append({"type": kind, "indexed": "indexed" in rest, "name": rest[-1]})
    return {"type": "event", "name": name, "anonymous": False, "inputs": inputs}


KNOWN = [
    event("Transfer(address indexed from,address indexed to,uint256 value)"),
    event("Transfer(address indexed from,address indexed to,uint256 indexed tokenId)"),
    event("Transfer(address from,address to,uint256 tokenId)"),
    event("Approval(address indexed owner,address indexed spender,uint256 value)"),
    event("Approval(address indexed owner,address indexed spender,uint256 indexed tokenId)"),
    event("ApprovalForAll(address indexed owner,address indexed operator,bool approved)"),
    event(
        "TransferSingle(address indexed operator,address indexed from,address indexed to,"
        "uint256 id,uint256 value)"
    ),
    event(
        "TransferBatch(address indexed operator,address indexed from,address indexed to,"
        "uint256[] ids,uint256[] values)"
    ),
    event("URI(string value,uint256 indexed id)"),
    event("Deposit(address indexed dst,uint256 wad)"),
    event("Withdrawal(address indexed src,uint256 wad)"),
    event("Sync(uint112 reserve0,uint112 reserve1)"),
    event("Mint(address indexed sender,uint256 amount0,uint256 amount1)"),
    event("Burn(address indexed sender,uint256 amount0,uint256 amount1,address indexed to)"),
    event(
        "Swap(address indexed sender,uint256 amount0In,uint256 amount1In,uint256 amount0Out,"
        "uint256 amount1Out,address indexed to)"
    ),
    event(
        "Swap(address indexed sender,address indexed recipient,int256 amount0,int256 amount1,"
        "uint160 sqrtPriceX96,uint128 liquidity,int24 tick)"
    ),
    event("Collect(uint256 indexed tokenId,address recipient,uint256 amount0,uint256 amount1)"),
    event("IncreaseLiquidity(uint256 indexed tokenId,uint128 liquidity,uint256 a0,uint256 a1)"),
    event("DecreaseLiquidity(uint256 indexed tokenId,uint128 liquidity,uint256 a0,uint256 a1)"),
    event("PairCreated(address indexed token0,address indexed token1,address pair,uint256 length)"),
    event(
        "OrdersMatched(bytes32 buyHash,bytes32 sellHash,address indexed maker,"
        "address indexed taker,uint256 price,bytes32 indexed metadata)"
    ),
]
EVENTS = Events(KNOWN)
W3 = Web3()


def plain(value: Any, kind: str) -> Any:
    """Web3.py's value the way we write it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if int(kind.strip("uint[]") or 256) <= 48 else str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [plain(item, kind) for item in value]
    return value.lower() if kind.startswith("address") else value


def oracle(abi: dict[str, Any], log: dict[str, Any]) -> dict[str, Any] | None:
    """What web3.py makes of ``log``; None if it refuses."""
    try:
        found = getattr(W3.eth.contract(abi=[abi]).events, abi["name"])().process_log(
            {
                **log,
                "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]],
                "data": bytes.fromhex(log["data"][2:]),
                "logIndex": 0,
                "transactionIndex": 0,
                "blockNumber": 0,
            }
        )
    except (Web3Exception, DecodingError, ValueError, TypeError):
        return None
    kinds = {one["name"]: one["type"] for one in abi["inputs"]}
    return {name: plain(value, kinds[name]) for name, value in found["args"].items()}


@pytest.mark.parametrize("number", BLOCKS)
def test_every_known_event_of_a_real_block_equals_web3(number):
    header, logs, raw = real_block(number)
    by_topics = {(Event(abi).topic, Event(abi).topics): abi for abi in KNOWN}
    known = 0
    for log, told in zip(logs, raw, strict=True):
        outcome = EVENTS.decode(log.topics, log.data)
        abi = by_topics.get((log.topics[0], len(log.topics))) if log.topics else None
        if abi is None:
            assert isinstance(outcome, Undecoded)
            continue
        assert outcome == Decoded(abi["name"], oracle(abi, told) or {})
        json.dumps(outcome.args)
        known += 1
    assert known == {4_369_999: 158, 18_500_000: 327}[number], header


def test_an_unknown_event_and_a_log_without_topics_say_so():
    assert EVENTS.decode(["0x" + "12" * 32], "0x") == Undecoded("unknown event")
    assert EVENTS.decode([], "0x") == Undecoded("no topics")


WORDS = st.sampled_from(
    [bytes(32), b"\xff" * 32, bytes(31) + b"\x01", bytes(31) + b"\x02", b"\x01" + bytes(31)]
) | st.binary(min_size=32, max_size=32)
DATA = st.lists(WORDS, max_size=8).map(b"".join) | st.binary(max_size=100)
ODD = [
    event("A(bool b,uint8 u,int8 i,bytes4 x,address a)"),
    event("B(string s,uint256[] n)"),
    event("C(uint256 indexed n,string indexed s,bytes data)"),
    event("D(int24 indexed t,bool indexed b,bytes3 indexed x)"),
    event("E(uint48 a,uint56 b,int48 c,int56 d)"),
    event("F(uint256[2] pair,bytes32[] rest)"),
]


@given(st.sampled_from([*ODD, *KNOWN]), st.lists(WORDS, min_size=3, max_size=3), DATA)
def test_any_bytes_are_decoded_as_web3_does_or_refused_as_web3_does(abi, words, data):
    described = Event(abi)
    topics = [described.topic, *["0x" + w.hex() for w in words[: described.topics - 1]]]
    text = "0x" + data.hex()
    outcome = Events([abi]).decode(topics, text)
    log = {"topics": topics, "data": text, "address": "0x" + "00" * 20}
    log |= {"blockHash": b"", "transactionHash": b""}
    expected = oracle(abi, log)
    assert (outcome.args if isinstance(outcome, Decoded) else None) == expected


TEXT = st.text() | st.from_regex(r"0x[0-9a-fA-F]*\s?_?", fullmatch=True)


@given(st.sampled_from(KNOWN), st.lists(TEXT, max_size=4), TEXT)
def test_any_text_is_decoded_or_refused(abi, topics, data):
    outcome = EVENTS.decode([Event(abi).topic, *topics], data)
    assert isinstance(outcome, Decoded | Undecoded)


def test_a_struct_is_an_object_and_an_indexed_string_its_hash():
    abi = {
        "type": "event",
        "name": "Made",
        "inputs": [
            {"name": "name", "type": "string", "indexed": True},
            {
                "name": "lots",
                "type": "tuple[]",
                "indexed": False,
                "components": [
                    {"name": "id", "type": "uint256"},
                    {"name": "", "type": "address"},
                    {"name": "small", "type": "uint16"},
                ],
            },
        ],
    }
    made = Event(abi)
    assert made.signature == "Made(string,(uint256,address,uint16)[])"
    data = encode(["(uint256,address,uint16)[]"], [[(5, "0x" + "AB" * 20, 7)]])
    outcome = Events([abi]).decode([made.topic, "0x" + "cd" * 32], "0x" + data.hex())
    assert outcome == Decoded(
        "Made",
        {
            "name": "0x" + "cd" * 32,
            "lots": [{"id": "5", "arg1": "0x" + "ab" * 20, "small": 7}],
        },
    )


def test_arguments_without_a_name_are_numbered():
    abi = event("Gone(uint256 a,bool b)")
    for one in abi["inputs"]:
        one["name"] = ""
    data = "0x" + "00" * 63 + "01"
    assert Events([abi]).decode([Event(abi).topic], data) == Decoded(
        "Gone", {"arg0": "0", "arg1": True}
    )


def test_upper_case_topics_and_addresses_are_understood():
    transfer = KNOWN[0]
    topic = "0x" + Event(transfer).topic[2:].upper()
    who = "0x" + "00" * 12 + "AB" * 20
    outcome = EVENTS.decode([topic, who, who], "0x" + "00" * 31 + "05")
    assert outcome == Decoded(
        "Transfer", {"from": "0x" + "ab" * 20, "to": "0x" + "ab" * 20, "value": "5"}
    )


def test_what_is_no_event_of_an_abi_is_a_mistake_of_the_settings():
    with pytest.raises(ConfigError, match="not an event"):
        Events([{"type": "event", "name": "X"}])
    assert Events([{"type": "function"}, {**KNOWN[0], "anonymous": True}]).topics == {}
