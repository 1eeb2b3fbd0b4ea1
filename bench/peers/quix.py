"""The same candle in quixstreams: one interval, its RocksDB state and changelog topic."""

import sys
from datetime import timedelta
from typing import Any

from quixstreams import Application
from rig.kafka import FIGURES, SINGLES


def begin(trade: dict[str, Any]) -> dict[str, Any]:
    price = float(trade["price"])
    return {
        "market": trade["market"],
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": float(trade["size"]),
        "trades": 1,
    }


def fold(candle: dict[str, Any], trade: dict[str, Any]) -> dict[str, Any]:
    price = float(trade["price"])
    candle["high"] = max(candle["high"], price)
    candle["low"] = min(candle["low"], price)
    candle["close"] = price
    candle["volume"] += float(trade["size"])
    candle["trades"] += 1
    return candle


def event_time_ms(value: dict[str, Any], *_context: object) -> int:
    return value["time_us"] // 1000


def main(bootstrap: str) -> None:
    app = Application(
        broker_address=bootstrap, consumer_group="quix", auto_offset_reset="earliest", loglevel=None
    )
    trades = app.topic(SINGLES, value_deserializer="json", timestamp_extractor=event_time_ms)
    frame = app.dataframe(trades)
    frame = frame.tumbling_window(timedelta(minutes=1)).reduce(fold, begin).current()
    frame = frame.apply(lambda window: {"open_ms": window["start"], **window["value"]})
    frame.to_topic(app.topic(FIGURES, value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main(sys.argv[1])
