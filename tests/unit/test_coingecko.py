import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams.errors import BadRecordError
from chaintide.streams.feeds import coingecko
from chaintide.streams.feeds.adapter import Request
from chaintide.streams.feeds.coingecko import PriceTick, Trending, TrendingCoin
from chaintide.streams.feeds.outbox import MemoryOutbox
from chaintide.streams.feeds.poll import Poll
from chaintide.streams.feeds.status import FeedStatus
from chaintide.streams.records import Market

PRICES = b"""{"bitcoin": {"usd": 67187.33589318, "eur": null, "last_updated_at": 1711356300},
              "shiba-inu": {"usd": 2.747e-05, "last_updated_at": 1711356301}}"""
MARKETS = b"""[{"id": "bitcoin", "symbol": "btc", "current_price": 70187,
                "last_updated": "2024-04-07T16:49:31.736Z"},
               {"id": "new", "symbol": "n", "current_price": null, "last_updated": null}]"""
TRENDING = b"""{"coins": [{"item": {"id": "brett", "coin_id": 29743, "name": "Brett",
                "symbol": "BRETT", "market_cap_rank": 136, "score": 0}}], "nfts": []}"""


def test_prices_are_exact_even_in_scientific_notation():
    assert coingecko.parse_prices(PRICES) == [
        PriceTick(
            market=Market("coingecko:bitcoin-USD"),
            time_us=1711356300000000,
            price="67187.33589318",
        ),
        PriceTick(
            market=Market("coingecko:shiba-inu-USD"), time_us=1711356301000000, price="0.00002747"
        ),
    ]


def test_a_tick_says_that_it_is_no_trade():
    assert {tick.basis for tick in coingecko.parse_prices(PRICES)} == {"price"}


def test_one_request_asks_for_all_coins_in_all_quotes():
    markets = [Market(f"coingecko:{m}") for m in ("shiba-inu-USD", "bitcoin-EUR", "bitcoin-USD")]
    params = coingecko.prices_request(markets).params
    assert (params["ids"], params["vs_currencies"]) == ("bitcoin,shiba-inu", "eur,usd")


def test_the_largest_coins_are_ticks_too():
    (tick,) = coingecko.parse_markets("USD", MARKETS)
    assert (tick.market, tick.price) == ("coingecko:bitcoin-USD", "70187")
    assert tick.time_us == 1712508571736000


def test_trending_coins_keep_their_order():
    coin = TrendingCoin(coin="brett", symbol="BRETT", name="Brett", market_cap_rank=136)
    assert coingecko.parse_trending(5, TRENDING) == Trending(time_us=5, coins=[coin])


@pytest.mark.parametrize(
    "payload",
    [b'{"bitcoin": {"usd": 1}}', b'{"bitcoin": {"usd": -1, "last_updated_at": 1}}', b"[]", b""],
)
def test_an_answer_that_makes_no_sense_is_a_bad_record(payload):
    with pytest.raises(BadRecordError):
        coingecko.parse_prices(payload)


@given(
    st.binary()
    | st.dictionaries(
        st.text(),
        st.dictionaries(
            st.sampled_from(["usd", "last_updated_at"]), st.none() | st.integers() | st.floats()
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything_else_is_parsed_or_a_bad_record(payload):
    for parse in (coingecko.parse_prices, lambda p: coingecko.parse_markets("USD", p)):
        with contextlib.suppress(BadRecordError):
            parse(payload)


class Recorded:
    async def get(self, request: Request) -> bytes:
        return {
            "/simple/price": PRICES,
            "/coins/markets": MARKETS,
            "/search/trending": TRENDING,
        }[request.path]


async def test_a_poll_publishes_prices_and_when_due_the_overview():
    outbox = MemoryOutbox()
    status = FeedStatus("coingecko", [Market("coingecko:bitcoin-USD")])
    poll = Poll(outbox, Recorded(), lambda: 5, status)
    await poll.poll(is_overview_due=False)
    assert [type(notice) for notice in outbox.notices] == [PriceTick, PriceTick]
    await poll.poll(is_overview_due=True)
    assert len(outbox.notices) == 6
    assert isinstance(outbox.notices[-1], Trending)
    assert (status.state, status.last_message_ms) == ("live", 5)
