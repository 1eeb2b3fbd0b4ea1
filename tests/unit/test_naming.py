"""Which market is meant by what a person typed."""

from chaintide.api.naming import LOOKED_AT, advice, market_of, nearest
from chaintide.streams.records import Market

RUST, OLD_RUST = Market("31338:0xa1/0xb1"), Market("31337:0xa1/0xb1")
SYMBOLS = ("ADA", "BTC", "DOGE", "DOT", "ETH")
KRAKEN = {Market(f"kraken:{symbol}-USD"): f"kraken:{symbol}-USD" for symbol in SYMBOLS}
NAMES = {RUST: "local:RUST-USDC", **KRAKEN}


def test_a_market_is_meant_by_its_own_name_and_by_what_it_alone_is_called():
    assert market_of(RUST, NAMES) == market_of("local:RUST-USDC", NAMES) == RUST
    assert market_of("kraken:BTC-USD", NAMES) == "kraken:BTC-USD"
    assert market_of("RUST-USDC", NAMES) is None


def test_of_two_markets_that_are_called_the_same_none_is_guessed():
    names = NAMES | {OLD_RUST: "local:RUST-USDC"}
    assert market_of("local:RUST-USDC", names) is None
    assert nearest("local:RUST-USDC", names) == [OLD_RUST, RUST]
    assert advice("local:RUST-USDC", names) == (
        f"several markets are called local:RUST-USDC: {OLD_RUST}, {RUST}"
    )


def test_a_name_that_somebody_chose_cannot_take_the_place_of_another_market():
    names = {Market("1:0xbad"): "kraken:BTC-USD", **KRAKEN}
    assert market_of("kraken:BTC-USD", names) == "kraken:BTC-USD"


def test_the_nearest_names_come_first():
    assert nearest("kraken:BTCUSD", NAMES)[0] == "kraken:BTC-USD"
    assert nearest("kraken:btc-usd", NAMES)[0] == "kraken:BTC-USD"
    assert nearest("doge", NAMES) == ["kraken:DOGE-USD"]
    assert nearest("kraken:RUST-USDC", NAMES)[0] == "local:RUST-USDC"
    assert len(nearest("kraken:NO-USD", NAMES)) == 3
    assert nearest("1", NAMES) == nearest("", NAMES) == nearest("BTC", {}) == []


def test_where_none_is_near_a_few_are_told_those_of_the_venue_first():
    assert advice("local:XXX", NAMES) == (
        "no market local:XXX; there is local:RUST-USDC, kraken:ADA-USD, kraken:BTC-USD and 3 more"
    )
    assert advice("xxx", {RUST: "local:RUST-USDC"}) == "no market xxx; there is local:RUST-USDC"
    assert advice("xxx", {}) == "no market xxx"


def test_many_markets_are_not_all_looked_at():
    names = {Market(f"x:{n}-USD"): f"x:{n}-USD" for n in range(LOOKED_AT)}
    names[Market("x:BTC-USD")] = "x:BTC-USD"
    assert market_of("x:BTC-USD", names) == "x:BTC-USD"
    assert "x:BTC-USD" not in nearest("x:BTCUSD", names)
