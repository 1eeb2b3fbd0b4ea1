"""What a message of the trades topic may say, and what is refused with a reason."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintide.streams import codec
from chaintide.streams.chain.records import (
    Alias,
    Alive,
    BlockEnd,
    ChainLog,
    Family,
    Head,
    Owner,
    Released,
    Span,
    Summary,
    Synced,
)
from chaintide.streams.chain.window import Seen
from chaintide.streams.errors import BadRecordError
from chaintide.streams.records import (
    Candle,
    CandleBatch,
    DeadLetter,
    FeedReport,
    Final,
    Gap,
    Heartbeat,
    Late,
    Market,
    Rebuild,
    Trade,
    TradeBatch,
    Undo,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "messages.jsonl"
BTC = Market("kraken:BTC-USD")
BATCH = TradeBatch(
    market=BTC,
    price_scale=1,
    size_scale=8,
    ids=[10218208, 10218209],
    times_us=[1762795433971744, 1762795457846737],
    prices=[1054336, 1054101],
    sizes=[27625, 5000],
    sides="bs",
    ingest_time_ms=1762795457900,
)
GAP = Gap(market=BTC, from_us=1, to_us=2, reason="backfill refused")
CANDLE = Candle(
    market=BTC,
    interval="1m",
    open_time_ms=1762795440000,
    close_time_ms=1762795500000,
    open="105410.1",
    high="105410.1",
    low="105351.1",
    close="105351.1",
    volume="0.0095537",
    quote_volume="1006.791605644",
    vwap="105382.3760066068",
    taker_buy_volume="0.00005",
    trades=5,
    first_trade_id=10218209,
    last_trade_id=10218213,
    status="closed",
    revision=1,
    complete=True,
    fill="traded",
    updated_ms=1762795562000,
    unique_traders=3,
)
RECORDS = [
    BATCH,
    Trade(market=BTC, time_us=1762795433971744, price="105433.6", size="0.00027625", trade_id=1),
    Heartbeat(venue="kraken", time_us=1762795433971744),
    GAP,
    CandleBatch(market=BTC, generation=3, offset=17, candles=[CANDLE], gaps=[GAP]),
    DeadLetter(topic="t", partition=1, offset=2, reason="malformed", key="k", value="{"),
    Late(trades=BATCH, late_by_ms=5, topic="t", partition=1, offset=2),
    FeedReport(
        venue="kraken",
        time_ms=1762795457900,
        markets=[BTC],
        state="live",
        breaker="closed",
        last_message_ms=1762795457880,
        silence_ms=20,
        lag_ms=None,
        connects=2,
        trades=9,
        duplicates=50,
        bad_messages=0,
        refusals=0,
        gaps=1,
        last_error="frozen",
    ),
    ChainLog(
        chain="local",
        number=7,
        block_hash="0x07",
        time_ms=1762795457000,
        log_index=3,
        tx_hash="0x70",
        tx_index=1,
        address="0xaa",
        stream="0x01",
        event="Swap",
        args={"user": "0xbb", "tokenAmount": "-1000000000000000000", "fee": "3"},
        epoch=2,
    ),
    ChainLog(
        chain="local",
        number=7,
        block_hash="0x07",
        time_ms=1762795457000,
        log_index=4,
        tx_hash="0x70",
        tx_index=1,
        address="0xaa",
        stream="0xaa",
        event=None,
        topics=["0xcc"],
        data="0xdd",
        note="unknown event",
        epoch=2,
    ),
    Head(chain="local", number=7, block_hash="0x07", time_ms=1762795457000, epoch=2),
    Undo(chain="local", to_number=6, epoch=2),
    Final(chain="local", number=3, block_hash="0x03", time_ms=1762795453000, epoch=2),
    Owner(chain="local", epoch=2, writer="5f3a", contracts={"0xaa": 5}),
    Released(chain="local", epoch=2),
    Synced(chain="local", address="0xaa", first=0, last=4, epoch=2),
    Alias(
        market=Market("31337:0xaa"),
        name="local:RUST-USDC",
        base="RUST",
        quote="USDC",
        base_token="0xbb",
        quote_token="0xcc",
        base_scale=18,
        quote_scale=6,
    ),
    BlockEnd(
        chain="local",
        number=7,
        block_hash="0x07",
        parent_hash="0x06",
        time_ms=1762795457000,
        logs=5,
        children={"0xee": "pool"},
        epoch=2,
    ),
    Rebuild(chain="local", contract="0xaa", epoch=2),
    Owner(chain="local", epoch=3, writer="6a", contracts={"0xaa": 5}, rebuilt={"0xaa": (2, 9)}),
    Alive(chain="local", epoch=3),
    Owner(
        chain="local",
        epoch=4,
        writer="7b",
        contracts={"0xfa": 9, "0xaa": 5},
        makes={"0xfa": Family(2, ("5e01",)), "0xaa": Family()},
    ),
    Summary(
        chain="local",
        epoch=4,
        writer="7b",
        written_ms=1762795457321,
        contracts={"0xfa": 9},
        makes={"0xfa": Family(2, ("5e01",))},
        spans={"0xfa": [Span(2, 8, Family(2, ("5e01",)))]},
        final=6,
        blocks=[
            Seen(number=6, hash="0x06", parent_hash="0x05", time_ms=1762795445000),
            Seen(
                number=7,
                hash="0x07",
                parent_hash="0x06",
                time_ms=1762795457000,
                children={"0xee": "pool"},
            ),
        ],
    ),
]


def test_every_message_is_written_as_the_golden_file_says():
    """A difference here is a change for every program that reads the topics: a new version."""
    written = [codec.encode(record).decode() for record in RECORDS]
    assert written == GOLDEN.read_text("utf-8").splitlines()


def test_a_single_trade_of_another_producer_becomes_a_batch():
    value = b'{"market":"kraken:BTC-USD","time_us":5,"price":"1.50","size":"2e-3","side":"sell"}'
    batch = codec.decode_trades(value)
    assert isinstance(batch, TradeBatch)
    assert (batch.prices, batch.price_scale, batch.sizes, batch.size_scale) == ([15], 1, [2], 3)
    assert batch.sides == "s"
    assert codec.decode_trades(value) == batch, "a trade without id has the same id every time"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": [1]}, "unequal length"),
        ({"prices": [1.5, 2]}, "malformed"),
        ({"v": 2}, "schema version 2"),
        ({"price_scale": -1}, "scale"),
        ({"market": "BTC"}, "venue:SYMBOL"),
        ({"traders": ["a"]}, "traders"),
        ({"type": "unheard"}, "malformed"),
    ],
)
def test_what_a_batch_cannot_be_is_refused_with_a_reason(change: dict[str, object], reason: str):
    value = json.dumps(json.loads(codec.encode(BATCH)) | change).encode()
    with pytest.raises(BadRecordError, match=reason):
        codec.decode_trades(value)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff\xfe", b'{"market":1}', b"null"])
def test_bytes_that_are_no_message_are_refused(value: bytes):
    with pytest.raises(BadRecordError, match="malformed"):
        codec.decode_trades(value)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=8) | st.floats(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["type", "market", "ids", "v", "price"]), inner, max_size=4
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_record_or_refused(value: bytes):
    with contextlib.suppress(BadRecordError):
        assert codec.decode_trades(value).v == 1
