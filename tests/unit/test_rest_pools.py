"""The routes about pools, and what markets of chains are called."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serving import Served, serving

from chaintide.streams import topics
from chaintide.streams.chain.records import Alias
from chaintide.streams.records import Market, TradeBatch
from chaintide.streams.views import PoolState, PoolView

OURS = Market("5151:0xa1/0x01")
LOW, HIGH = "0x" + "0a" * 20, "0x" + "0b" * 20


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


def state(number: int, **fields: Any) -> PoolState:
    return PoolState(number=number, block_hash="0x", log_index=0, time_ms=number, **fields)


def view(
    *pending: PoolState,
    market: str = OURS,
    kind: Any = "reserves",
    settled: PoolState | None = None,
    offset: int = 0,
) -> PoolView:
    return PoolView(
        market=Market(market),
        kind=kind,
        generation=1,
        offset=offset,
        settled=settled,
        pending=[*pending],
    )


def alias(market: str = OURS, *, is_flipped: bool = False, scales: tuple[int, int] = (18, 6)):
    tokens = (HIGH, LOW) if is_flipped else (LOW, HIGH)
    return Alias(
        market=Market(market),
        name="localchain:RUST-USDC",
        base="RUST",
        quote="USDC",
        base_token=tokens[0],
        quote_token=tokens[1],
        base_scale=scales[0],
        quote_scale=scales[1],
    )


async def pool(api: Served, market: str = OURS) -> dict[str, Any]:
    answer = await api.get(f"/v1/pools/{market}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_reserves_are_in_whole_tokens_once_their_decimals_are_known(api: Served):
    api.record(topics.VIEWS, view(state(7, reserves=("1000500000000000000000", "2001000000"))))
    told = await pool(api)
    assert (told["name"], told["base_reserve"], told["price"]) == (OURS, None, None)
    api.record(topics.ALIASES, alias())
    told = await pool(api)
    assert (told["base_reserve"], told["quote_reserve"], told["price"]) == ("1000.5", "2001", "2")
    assert (told["name"], told["base"], told["number"]) == ("localchain:RUST-USDC", "RUST", 7)
    assert told["is_final"] is False


@pytest.mark.parametrize("is_flipped", [False, True])
async def test_tokens_of_a_pair_are_in_the_order_of_their_addresses(api: Served, is_flipped: bool):
    reserves = ("4000000", "2" + "0" * 18) if is_flipped else ("2" + "0" * 18, "4000000")
    api.record(topics.ALIASES, alias(is_flipped=is_flipped))
    api.record(topics.VIEWS, view(kind="pair", settled=state(7, reserves=reserves)))
    told = await pool(api)
    assert (told["base_reserve"], told["quote_reserve"], told["price"]) == ("2", "4", "2")
    assert told["is_final"] is True


@pytest.mark.parametrize(("is_flipped", "price"), [(False, "4"), (True, "0.25")])
async def test_concentrated_liquidity_has_a_price_and_no_reserves(
    api: Served, is_flipped: bool, price: str
):
    now = state(7, sqrt_price_x96=str(2 * 2**96), liquidity="12", tick=13863)
    api.record(topics.ALIASES, alias(is_flipped=is_flipped, scales=(18, 18)))
    api.record(topics.VIEWS, view(now, kind="concentrated"))
    told = await pool(api)
    assert (told["price"], told["liquidity"], told["tick"]) == (price, "12", 13863)
    assert (told["base_reserve"], told["quote_reserve"]) == (None, None)


async def test_an_empty_pool_has_no_price(api: Served):
    api.record(topics.ALIASES, alias())
    api.record(topics.VIEWS, view(state(7, reserves=("0", "0"))))
    told = await pool(api)
    assert (told["base_reserve"], told["price"]) == ("0", None)


async def test_a_replaced_worker_does_not_count_and_notes_are_no_pools(api: Served):
    api.record(topics.VIEWS, view(state(8, reserves=("2", "2")), offset=9))
    api.record(topics.VIEWS, view(state(7, reserves=("1", "1")), offset=8))
    api.record(topics.VIEWS, [1, 2, 3, 4])
    api.record(topics.VIEWS, 17)
    assert (await pool(api))["number"] == 8
    assert api.backend.view.bad_records == 0


async def test_a_pool_that_was_undone_is_gone(api: Served):
    api.record(topics.VIEWS, view(state(7, reserves=("1", "1"))))
    api.record(topics.VIEWS, view(offset=1))
    answer = await api.get(f"/v1/pools/{OURS}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert OURS in answer.json()["detail"]
    assert (await api.get("/v1/pools")).json() == {"pools": [], "next": None}


async def test_pools_come_in_pages_sorted_by_market(api: Served):
    names = [f"5151:0x{n}" for n in (3, 1, 2)] + ["9:0x1"]
    for name in names:
        api.record(topics.VIEWS, view(state(7, reserves=("1", "1")), market=name))
    first = (await api.get("/v1/pools", chain="5151", limit=2)).json()
    assert [row["market"] for row in first["pools"]] == ["5151:0x1", "5151:0x2"]
    rest = (await api.get("/v1/pools", chain="5151", limit=2, after=first["next"])).json()
    assert ([row["market"] for row in rest["pools"]], rest["next"]) == (["5151:0x3"], None)
    for market, count in (("5151:0x2", 1), ("5151:0x9", 0)):
        one = (await api.get("/v1/pools", market=market)).json()
        assert ([row["market"] for row in one["pools"]], one["next"]) == ([market] * count, None)
    every = (await api.get("/v1/pools")).json()
    assert [row["market"] for row in every["pools"]] == sorted(names)


async def test_without_the_log_nobody_says_that_a_pool_is_missing(api: Served):
    api.record(topics.VIEWS, view(state(7, reserves=("1", "1"))))
    api.backend.following.lack = "still reading what was there"
    for path in ("/v1/pools", "/v1/pools/5151:0x9"):
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert (await api.get(f"/v1/pools/{OURS}")).status_code == 200


@pytest.mark.parametrize("parameters", [{"chains": "1"}, {"limit": 0}, {"limit": 1_001}])
async def test_a_wrong_parameter_is_named(api: Served, parameters: dict[str, Any]):
    answer = await api.get("/v1/pools", **parameters)
    assert answer.status_code == 400
    assert next(iter(parameters)) in answer.json()["detail"]


async def test_a_market_of_a_chain_is_listed_with_its_name(api: Served):
    batch = {"ids": [1], "times_us": [1], "prices": [1], "sizes": [1], "sides": "b", "block": 1}
    trades = TradeBatch(market=OURS, price_scale=0, size_scale=0, **batch)
    api.record(topics.TRADES, trades)
    [entry] = (await api.get("/v1/markets")).json()["markets"]
    assert (entry["name"], entry["symbol"], entry["chain"]) == (OURS, "0xa1/0x01", None)
    api.record(topics.ALIASES, alias())
    [entry] = (await api.get("/v1/markets")).json()["markets"]
    assert (entry["market"], entry["venue"], entry["chain"]) == (OURS, "5151", "5151")
    names = ("name", "symbol", "base", "quote")
    assert [entry[name] for name in names] == ["localchain:RUST-USDC", "RUST-USDC", "RUST", "USDC"]
