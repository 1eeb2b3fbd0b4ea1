"""The same candle in bytewax: one interval, nothing durable."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
import msgspec
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main
from rig.kafka import FIGURES, SINGLES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Its watermark moves with the clock as well: whatever waits longer than this is lost as late.
PATIENCE = timedelta(minutes=5)


def event_time(trade: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(trade["time_us"] / 1e6, UTC)


def fold(candle: dict[str, Any], trade: dict[str, Any]) -> dict[str, Any]:
    price = float(trade["price"])
    if not candle:
        candle = {"open": price, "high": price, "low": price, "volume": 0.0, "trades": 0}
        candle |= {"market": trade["market"], "open_ms": trade["time_us"] // 60_000_000 * 60_000}
    candle["high"] = max(candle["high"], price)
    candle["low"] = min(candle["low"], price)
    candle["close"] = price
    candle["volume"] += float(trade["size"])
    candle["trades"] += 1
    return candle


def flow(bootstrap: str) -> Dataflow:
    # Results come only when windows close, too late to start the clock.
    started: Path | None = Path("started")

    def decode(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, Any]:
        nonlocal started
        if started:
            started.touch()
            started = None
        trade = msgspec.json.decode(message.value)
        return trade["market"], trade

    def encode(item: tuple[str, tuple[int, dict[str, Any]]]) -> KafkaSinkMessage[bytes, bytes]:
        market, (_window, candle) = item
        return KafkaSinkMessage(market.encode(), msgspec.json.encode(candle))

    dataflow = Dataflow("candles")
    source = KafkaSource([bootstrap], [SINGLES], tail=False)
    trades = op.map("decode", op.input("trades", dataflow, source), decode)
    windows = win.fold_window(
        "fold",
        trades,
        win.EventClock(event_time, wait_for_system_duration=PATIENCE),
        win.TumblingWindower(length=timedelta(minutes=1), align_to=EPOCH),
        builder=dict,
        folder=fold,
        merger=lambda one, _other: one,
    )
    figures = op.map("encode", windows.down, encode)
    op.output("figures", figures, KafkaSink([bootstrap], FIGURES))
    return dataflow


if __name__ == "__main__":
    run_main(flow(sys.argv[1]))
