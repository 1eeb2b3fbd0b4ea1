"""Candles as the first hour with Faust gives them: one interval, a table of dictionaries."""

import sys

import faust
from rig.kafka import FIGURES, PARTITIONS, SINGLES


class Trade(faust.Record):
    market: str
    time_us: int
    price: str
    size: str


def main(bootstrap: str) -> None:
    app = faust.App(
        "naive",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        topic_partitions=PARTITIONS,
        web_enabled=False,
    )
    trades = app.topic(SINGLES, value_type=Trade)
    figures = app.topic(FIGURES)
    table = app.Table("naive-candles", default=dict, partitions=PARTITIONS)

    @app.agent(trades)
    async def fold(stream: faust.StreamT[Trade]) -> None:
        async for trade in stream:
            open_ms = trade.time_us // 60_000_000 * 60_000
            key = f"{trade.market}|{open_ms}"
            price, size = float(trade.price), float(trade.size)
            candle = table[key]
            if not candle:
                candle = {"market": trade.market, "open_ms": open_ms, "trades": 0, "volume": 0.0}
                candle |= {"open": price, "high": price, "low": price}
            candle["high"] = max(candle["high"], price)
            candle["low"] = min(candle["low"], price)
            candle["close"] = price
            candle["volume"] += size
            candle["trades"] += 1
            table[key] = candle
            await figures.send(key=key, value=candle)

    faust.Worker(app, loglevel="warning", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv.pop())
