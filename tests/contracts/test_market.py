"""Pools: each event and each refusal, and swaps of any size against the formula."""

from math import isqrt

import pytest
from exchange import (
    ALICE,
    BOB,
    DOLLARS,
    LOCKED_SHARES,
    MARKET_ID,
    MAX_AMOUNT,
    OWNER,
    TOKENS,
    Exchange,
    buy_quote,
    ceil_div,
    sell_quote,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from localchain import FOREVER, perhaps_refused, refused, running_chain

NOBODY = "0x" + "00" * 20
# Where fees and quotients begin to be more than nothing, and where amounts end.
EDGES = st.sampled_from([1, 2, 333, 334, 335, 1001, 10**6, 10**18, MAX_AMOUNT // 4])
AMOUNTS = EDGES | st.integers(1, 10**9) | st.integers(1, MAX_AMOUNT // 4)
SIZES = st.sampled_from([1001, 10**6, MAX_AMOUNT // 4]) | st.integers(1001, MAX_AMOUNT // 4)


@pytest.fixture(scope="module", params=["Credential", "Persona"])
def live(request):
    with running_chain() as chain:
        yield Exchange.on(chain, request.param)


@pytest.fixture
def exchange(live):
    return live.open()


def test_a_new_pool_says_what_it_holds_and_locks_a_little_for_ever(live):
    live.chain.rewind()
    said = live.act(OWNER, "createPool", TOKENS, DOLLARS)
    shares = isqrt(TOKENS * DOLLARS)
    assert said["PoolCreated"].arguments == {
        live.key: MARKET_ID,
        "tokenAddress": live.token.address,
        "initialLiquidity": shares,
    }
    assert said["ReservesUpdated"].arguments == {
        live.key: MARKET_ID,
        "tokenReserves": TOKENS,
        "usdcReserves": DOLLARS,
    }
    assert said["LiquidityAdded"]["shares"] == shares - LOCKED_SHARES
    assert live.shares() == shares == live.shares_of(OWNER) + live.shares_of(NOBODY)
    assert live.reserves() == live.balances(live.market.address) == (TOKENS, DOLLARS)


def test_a_buy_says_what_came_in_and_what_went_out(exchange):
    out, fee = buy_quote(TOKENS, DOLLARS, 10**9)
    before = exchange.balances(ALICE)
    said = exchange.act(ALICE, "buy", 10**9, out, FOREVER)
    assert said["Swap"].arguments == {
        exchange.key: MARKET_ID,
        "user": ALICE,
        "tokenAmount": -out,
        "usdcAmount": 10**9,
        "fee": fee,
    }
    assert said["ReservesUpdated"]["tokenReserves"] == TOKENS - out
    assert said["ReservesUpdated"]["usdcReserves"] == DOLLARS + 10**9
    assert exchange.balances(ALICE) == (before[0] + out, before[1] - 10**9)


def test_a_sale_says_what_came_in_and_what_went_out(exchange):
    out, fee = sell_quote(TOKENS, DOLLARS, 10**21)
    before = exchange.balances(BOB)
    said = exchange.act(BOB, "sell", 10**21, out, FOREVER)
    assert said["Swap"].arguments == {
        exchange.key: MARKET_ID,
        "user": BOB,
        "tokenAmount": 10**21,
        "usdcAmount": -out,
        "fee": fee,
    }
    assert said["ReservesUpdated"]["usdcReserves"] == DOLLARS - out
    assert exchange.balances(BOB) == (before[0] - 10**21, before[1] + out)


def test_liquidity_goes_in_and_out_at_the_price_of_the_pool(exchange):
    whole = exchange.shares()
    added = exchange.act(ALICE, "addLiquidity", TOKENS, DOLLARS, whole, FOREVER)["LiquidityAdded"]
    assert (added["provider"], added["shares"]) == (ALICE, whole)
    assert (added["tokenAmount"], added["usdcAmount"]) == (TOKENS, DOLLARS)
    given_up = (ALICE, "removeLiquidity", whole // 2, 1, 1, FOREVER)
    removed = exchange.act(*given_up)["LiquidityRemoved"]
    part = [whole // 2 * (2 * held) // (2 * whole) for held in (TOKENS, DOLLARS)]
    assert [removed["tokenAmount"], removed["usdcAmount"]] == part
    assert exchange.shares_of(ALICE) == whole - whole // 2


def test_only_a_token_of_the_factory_has_a_pool_and_only_one(live):
    chain, other = live.chain, b"\x08" * 32
    live.open()
    with refused("UnknownToken", id=other):
        chain.act(OWNER, live.market, "createPool", other, TOKENS, DOLLARS)
    with refused("PoolExists", id=MARKET_ID):
        live.act(ALICE, "createPool", TOKENS, DOLLARS)
    for call in (
        ("buy", other, 10**6, 0, FOREVER),
        ("sell", other, 10**18, 0, FOREVER),
        ("addLiquidity", other, 10**18, 10**6, 0, FOREVER),
        ("removeLiquidity", other, 1, 0, 0, FOREVER),
        ("quoteBuy", other, 10**6),
        ("quoteSell", other, 10**18),
    ):
        with refused("UnknownPool", id=other):
            chain.act(ALICE, live.market, *call)


def test_a_pool_too_small_to_lock_anything_is_refused(live):
    live.chain.rewind()
    with refused("TooLittleLiquidity", shares=1000, min=1001):
        live.act(OWNER, "createPool", 1000, 1000)
    live.act(OWNER, "createPool", 1001, 1001)
    assert live.shares_of(OWNER) == 1


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("buy", (10**6, 0)),
        ("sell", (10**18, 0)),
        ("addLiquidity", (10**18, 10**6, 0)),
        ("removeLiquidity", (10**10, 0, 0)),
    ],
)
def test_what_comes_after_its_deadline_is_refused(exchange, function, arguments):
    now_s = exchange.chain.now_s()
    with refused("Expired", deadline=now_s - 1):
        exchange.act(OWNER, function, *arguments, now_s - 1)
    exchange.act(OWNER, function, *arguments, now_s + 1)  # its own block is the last that counts


def test_less_than_was_asked_for_is_refused(exchange):
    bought, _ = buy_quote(TOKENS, DOLLARS, 10**9)
    with refused("SlippageExceeded", amount=bought, bound=bought + 1):
        exchange.act(ALICE, "buy", 10**9, bought + 1, FOREVER)
    sold, _ = sell_quote(TOKENS, DOLLARS, 10**21)
    with refused("SlippageExceeded", amount=sold, bound=sold + 1):
        exchange.act(ALICE, "sell", 10**21, sold + 1, FOREVER)
    shares = exchange.shares() // 10
    with refused("SlippageExceeded"):
        exchange.act(ALICE, "addLiquidity", TOKENS // 10, DOLLARS // 10, shares + 1, FOREVER)
    with refused("SlippageExceeded"):
        exchange.act(OWNER, "removeLiquidity", shares, TOKENS, 0, FOREVER)
    with refused("SlippageExceeded"):
        exchange.act(OWNER, "removeLiquidity", shares, 0, DOLLARS, FOREVER)


def test_what_gives_nothing_is_refused(exchange):
    for call in (
        ("buy", 0, 0, FOREVER),
        ("buy", 1, 0, FOREVER),
        ("sell", 1, 0, FOREVER),
        ("addLiquidity", 1, 1, 0, FOREVER),
        ("removeLiquidity", 0, 0, 0, FOREVER),
    ):
        with refused("NothingOut"):
            exchange.act(OWNER, *call)


def test_only_own_shares_are_given_up(exchange):
    with refused("NotEnoughShares", held=0, asked=1):
        exchange.act(ALICE, "removeLiquidity", 1, 0, 0, FOREVER)


def test_amounts_that_would_overflow_are_refused(exchange):
    for call in (
        ("buy", MAX_AMOUNT + 1, 0, FOREVER),
        ("sell", 2**256 - 1, 0, FOREVER),
        ("addLiquidity", MAX_AMOUNT + 1, 1, 0, FOREVER),
        ("addLiquidity", 10**18, 2**255, 0, FOREVER),
    ):
        with refused("AmountOutOfRange", amount=max(call[1:3]), max=MAX_AMOUNT):
            exchange.act(ALICE, *call)
    with refused("AmountOutOfRange", amount=MAX_AMOUNT + DOLLARS, max=MAX_AMOUNT):
        exchange.act(ALICE, "buy", MAX_AMOUNT, 0, FOREVER)


def test_who_cannot_pay_changes_nothing(exchange):
    tokens, _dollars = exchange.balances(ALICE)
    before = exchange.reserves()
    with refused("ERC20InsufficientBalance", sender=ALICE, balance=tokens, needed=tokens + 1):
        exchange.act(ALICE, "sell", tokens + 1, 0, FOREVER)
    assert exchange.reserves() == before


@settings(max_examples=60)
@given(tokens=SIZES, dollars=SIZES, amount=AMOUNTS, side=st.sampled_from(["buy", "sell"]))
def test_any_swap_is_the_formula_and_never_makes_the_pool_poorer(
    live, tokens, dollars, amount, side
):
    live.open(tokens, dollars)
    out, fee = (buy_quote if side == "buy" else sell_quote)(tokens, dollars, amount)
    if out == 0:
        with refused("NothingOut"):
            live.swap(ALICE, side, amount)
        return
    swap = live.swap(ALICE, side, amount, out)
    changes = (-out, amount) if side == "buy" else (amount, -out)
    assert (swap["tokenAmount"], swap["usdcAmount"], swap["fee"]) == (*changes, fee)
    held = live.reserves()
    assert held == (tokens + changes[0], dollars + changes[1])
    assert held == live.balances(live.market.address)
    assert held[0] * held[1] >= tokens * dollars
    if fee:
        assert fee * 10_000 >= 30 * (abs(swap["usdcAmount"]) - fee)


@settings(max_examples=30)
@given(tokens=SIZES, dollars=SIZES, amount=AMOUNTS, first=st.sampled_from(["buy", "sell"]))
def test_going_there_and_back_never_pays(live, tokens, dollars, amount, first):
    live.open(tokens, dollars)
    before = live.balances(ALICE)
    back = "sell" if first == "buy" else "buy"
    is_back = False
    with perhaps_refused("NothingOut"):
        there = live.swap(ALICE, first, amount)
        live.swap(ALICE, back, -min(there["tokenAmount"], there["usdcAmount"]))
        is_back = True
    after = live.balances(ALICE)
    kept, paid = (0, 1) if first == "buy" else (1, 0)
    assert after[paid] <= before[paid]
    assert not is_back or after[kept] == before[kept]


@settings(max_examples=30)
@given(tokens=SIZES, dollars=SIZES, offer=st.tuples(AMOUNTS, AMOUNTS))
def test_any_liquidity_costs_at_least_its_part_and_returns_at_most_it(live, tokens, dollars, offer):
    live.open(tokens, dollars)
    whole = live.shares()
    shares = min(offer[0] * whole // tokens, offer[1] * whole // dollars)
    if shares == 0:
        with refused("NothingOut"):
            live.act(ALICE, "addLiquidity", *offer, 0, FOREVER)
        return
    before = live.balances(ALICE)
    paid = live.act(ALICE, "addLiquidity", *offer, shares, FOREVER)["LiquidityAdded"]
    assert paid["shares"] == shares
    assert paid["tokenAmount"] == ceil_div(shares * tokens, whole) <= offer[0]
    assert paid["usdcAmount"] == ceil_div(shares * dollars, whole) <= offer[1]
    with perhaps_refused("NothingOut"):
        live.act(ALICE, "removeLiquidity", shares, 0, 0, FOREVER)
    after = live.balances(ALICE)
    assert after[0] <= before[0]
    assert after[1] <= before[1]
