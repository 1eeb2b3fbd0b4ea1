"""Pools become markets by what the chain says of their tokens."""

from decimal import Decimal

import msgspec
import pytest
from chains import CHAIN
from hypothesis import given
from hypothesis import strategies as st
from real_blocks import real_block

from chaintide.streams.chain import pools as module
from chaintide.streams.chain.kinds import known_kinds
from chaintide.streams.chain.pools import (
    OWN,
    UNISWAP_V2,
    UNISWAP_V3,
    Pools,
    Stranger,
    Token,
    address_in,
    call_of,
    scale_in,
    symbol_in,
)
from chaintide.streams.chain.records import ChainLog
from chaintide.streams.chain.swaps import swap_of
from chaintide.streams.chain.watch import Named, Watch

WETH = Token("0x" + "c0" * 20, "WETH", 18)
USDC = Token("0x" + "a0" * 20, "USDC", 6)
POOL = "0x" + "88" * 20


def stranger(form=UNISWAP_V3, stream=POOL, number=5):
    return Stranger(stream, form, number, "0x05")


def swap(stream=POOL, number=5, event="Swap", **args):
    return ChainLog(
        chain=CHAIN,
        number=number,
        block_hash="0x05",
        time_ms=5_000,
        log_index=3,
        tx_hash="0x",
        tx_index=0,
        address=stream.partition("/")[0],
        stream=stream,
        event=event,
        args=args,
    )


def learned(tokens, *, quotes=(), form=UNISWAP_V3):
    pools = Pools("1", "ethereum", quotes)
    alias = pools.learn(stranger(form), tokens)
    return pools, alias


def test_the_first_token_is_the_base_unless_only_it_is_a_quote():
    assert learned((WETH, USDC))[1].name == "ethereum:WETH-USDC"
    assert learned((USDC, WETH))[1].name == "ethereum:USDC-WETH"
    assert learned((USDC, WETH), quotes=[USDC.address])[1].name == "ethereum:WETH-USDC"
    both = [USDC.address, WETH.address]
    assert learned((USDC, WETH), quotes=both)[1].name == "ethereum:USDC-WETH"


@pytest.mark.parametrize("quotes", [[], [USDC.address]])
def test_a_swap_has_the_same_worth_in_either_order(quotes):
    """3,000 USDC go in and 2 WETH come out, of a pool that counts USDC first."""
    pools, alias = learned((USDC, WETH), quotes=quotes)
    log = swap(amount0="3000000000", amount1="-2000000000000000000", recipient="0xaa")
    trade = swap_of(log, pools.known[POOL])
    price = Decimal(trade.price[0]).scaleb(-trade.price[1])
    size = Decimal(trade.size[0]).scaleb(-trade.size[1])
    if quotes:
        assert (price, size, trade.side, trade.trader) == (1500, 2, "b", "0xaa")
        assert (alias.base, alias.base_scale, alias.quote_scale) == ("WETH", 18, 6)
    else:
        assert (size, trade.side) == (3000, "s")
        assert price == Decimal("0.000666666666666666667")


def test_v2_amounts_go_in_and_out_separately():
    pools, _ = learned((WETH, USDC), form=UNISWAP_V2)
    amounts = {"amount0In": "0", "amount1In": "3000000000", "amount1Out": "0"}
    log = swap(**amounts, amount0Out="2000000000000000000", to="0xbb")
    trade = swap_of(log, pools.known[POOL])
    assert (trade.price, trade.side, trade.trader) == ((1500, 0), "b", "0xbb")


def test_only_pools_that_trade_and_are_not_known_are_strangers():
    pools = Pools("1", "ethereum")
    forms = {POOL: OWN}
    logs = [swap(f"{POOL}/0x01"), swap(f"{POOL}/0x01"), swap(f"{POOL}/0x02", event="Sync")]
    logs.append(swap("0x" + "99" * 20))
    [found] = pools.strangers(logs, forms.get)
    assert found.stream == f"{POOL}/0x01"
    pools.learn(found, None)
    assert pools.strangers(logs, forms.get) == [], "not a market, and not asked again"


def test_what_a_block_taught_is_forgotten_with_it():
    pools = Pools("1", "ethereum")
    for number in (5, 6):
        pools.learn(stranger(stream=f"{POOL}/{number}", number=number), (WETH, USDC))
    pools.forget(5)
    assert list(pools.known) == [f"{POOL}/5"]
    assert pools.markets(9) == [f"1:{POOL}/5"]


def test_there_is_a_bound_on_pools(monkeypatch):
    monkeypatch.setattr(module, "MAX_POOLS", 2)
    pools = Pools("1", "ethereum")
    logs = [swap(f"{POOL}/{n}") for n in range(5)]
    assert len(pools.strangers(logs, {POOL: OWN}.get)) == 2


def test_a_token_with_more_decimals_than_any_number_makes_no_market():
    _, alias = learned((Token(WETH.address, "X", 77), USDC))
    assert alias is None


def test_the_pool_is_asked_for_its_tokens_its_id_with_it_where_it_holds_many():
    own = stranger(OWN, f"{POOL}/0x{'07' * 32}")
    assert own.calls() == [
        (POOL, call_of("pools(bytes32)") + "07" * 32),
        (POOL, call_of("usdc()")),
    ]
    assert stranger().calls() == [(POOL, "0x0dfe1681"), (POOL, "0xd21220a7")]


@given(st.binary(max_size=130))
def test_whatever_a_token_answers_is_an_answer_or_none(raw):
    text = "0x" + raw.hex()
    assert (address := address_in(text)) is None or len(address) == 42
    assert (scale := scale_in(text)) is None or 0 <= scale < 256
    symbol = symbol_in(text, POOL)
    assert 0 < len(symbol) <= 20
    assert symbol.isascii()


@pytest.mark.parametrize(
    ("answer", "symbol"),
    [
        (
            "0x"
            + (32).to_bytes(32).hex()
            + (4).to_bytes(32).hex()
            + b"WETH".ljust(32, b"\0").hex(),
            "WETH",
        ),
        ("0x" + b"MKR".ljust(32, b"\0").hex(), "MKR"),
        (
            "0x"
            + (32).to_bytes(32).hex()
            + (3).to_bytes(32).hex()
            + b"\xff <".ljust(32, b"\0").hex(),
            "0x888888",
        ),
        ("0xzz", "0x888888"),
    ],
)
def test_symbols_come_in_two_forms_and_lose_odd_characters(answer, symbol):
    assert symbol_in(answer, POOL) == symbol


def test_a_real_swap_has_the_price_that_the_pool_has_after_it():
    """WETH and USDT, 0.05 %: the fee and the depth of the pool are all that lies between."""
    pool = "0x11b815efb8f581194ae79006d24e0d814b7697f6"
    header, logs, _ = real_block(18_500_000)
    watch = Watch("1", known_kinds(), {pool: Named("uniswap-v3-pool")})
    pools = Pools("1", "ethereum")
    pools.learn(
        Stranger(pool, UNISWAP_V3, header.number, header.hash), (WETH, Token("0x", "USDT", 6))
    )
    [log] = [each for each in watch.matching(header, logs) if each.event == "Swap"]
    trade = swap_of(log, pools.known[pool])
    root = Decimal(log.args["sqrtPriceX96"]) / 2**96
    after = root * root * 10**12
    price = Decimal(trade.price[0]).scaleb(-trade.price[1])
    assert 1_000 < price < 3_000
    assert abs(price / after - 1) < Decimal("0.001")
    exact = (
        Decimal(log.args["amount1"]).copy_abs() * 10**12 / Decimal(log.args["amount0"]).copy_abs()
    )
    assert abs(price / exact - 1) < Decimal(10) ** -17


def test_records_of_swaps_can_be_written():
    assert msgspec.json.encode(learned((WETH, USDC))[1])
