"""Which venues the settings name, and with which markets."""

from chaintide.api.settings import Settings
from chaintide.streams.errors import ConfigError
from chaintide.streams.feeds.ingest import FeedConfig
from chaintide.streams.records import Market


def configs(settings: Settings) -> list[FeedConfig]:
    """Return the configured markets, one feed a venue.

    Raises:
        ConfigError: If a market is not ``venue:SYMBOL``.
    """
    venues: dict[str, list[Market]] = {}
    for market in settings.market_names:
        venue, colon, symbol = market.partition(":")
        if not (colon and symbol):
            raise ConfigError(f"CHAINTIDE_MARKETS: {market!r} is not venue:SYMBOL")
        venues.setdefault(venue, []).append(Market(market))
    feeds = {"coinbase": "coinbase-advanced"} if settings.coinbase_feed == "advanced" else {}
    return [
        FeedConfig(
            feeds.get(venue, venue),
            markets,
            ws_url=getattr(settings, f"{venue}_ws_url", None),
            rest_url=getattr(settings, f"{venue}_rest_url", None),
            api_key=settings.coingecko_api_key.get_secret_value() if venue == "coingecko" else "",
        )
        for venue, markets in venues.items()
    ]
