"""A local exchange that trades, speaks Kraken's protocol and fails on request."""
