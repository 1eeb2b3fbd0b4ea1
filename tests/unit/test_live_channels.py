import msgspec
import pytest

from chaintide.api.live.channels import KINDS, Channel, parse_channel
from chaintide.api.live.requests import Subscribe, parse_request
from chaintide.streams.codec import MARKET as LOGGED

MARKET = "kraken:BTC-USD"


@pytest.mark.parametrize(
    "channel",
    [
        Channel("trades", MARKET),
        Channel("ticker", MARKET),
        Channel("candles", MARKET, "1m"),
        Channel("candles", MARKET, "1w"),
        Channel("status"),
    ],
    ids=str,
)
def test_a_name_has_one_meaning(channel: Channel):
    assert parse_channel(str(channel)) == channel


@pytest.mark.parametrize(
    "market", ["kraken:BTC/USD", "Kraken.eu:eth_usd", f"{'v' * 40}:{'S' * 120}"]
)
def test_whatever_market_is_logged_can_be_subscribed_to(market: str):
    assert LOGGED.fullmatch(market)
    channels = [Channel(kind, market) for kind in ("trades", "ticker")]
    for channel in (*channels, Channel("candles", market, "15m")):
        assert parse_channel(str(channel)) == channel
        wanted = {"op": "subscribe", "channels": [{"ch": str(channel)}]}
        assert isinstance(parse_request(msgspec.json.encode(wanted)), Subscribe)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "nix",
        "nix:kraken:BTC-USD",
        "trades",
        "trades:",
        "trades:kraken",
        "trades:kraken:",
        "trades::BTC-USD",
        "trades:kraken:BTC-USD:1m",
        "trades:kraken:BTC-USD ",
        "trades:kraken:BTC-USD\n",
        "trades:kraken:BTC-ÄÖ",
        "Trades:kraken:BTC-USD",
        "candles:kraken:BTC-USD",
        "candles:kraken:BTC-USD:",
        "candles:kraken:BTC-USD:2m",
        "candles:kraken:BTC-USD:1m:",
        "status:",
        "status:x",
    ],
)
def test_what_is_no_name_is_none(name: str):
    assert parse_channel(name) is None


def test_every_kind_shows_its_shape():
    assert all(kind.shape.partition(":")[0] == name for name, kind in KINDS.items())
