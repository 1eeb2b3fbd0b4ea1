"""What a terminal shows while everything runs."""

from pathlib import Path

import pytest
from candles import MARKET, batch, candle

from chaintide.api.board import lines, plain
from chaintide.api.names import FILE_NAME, read_names, write_names
from chaintide.sinks.memory import MemoryStore
from chaintide.streams.records import Market

POOL, FORMER = Market("31338:0xa1"), Market("31337:0xa1")


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    one = {"close": "0.121227985619698548", "trades": 1}
    await store.write(
        [batch(candle(0)), *[batch(candle(0, market=m, **one)) for m in (POOL, FORMER)]]
    )
    return store


async def test_markets_have_their_names_and_numbers_that_can_be_read(store: MemoryStore):
    shown = await lines(store, "1m", {POOL: "local:RUST-USDC"}, hidden={"31337"})
    said = plain(shown).split(" · ")
    assert sorted(said) == [f"{MARKET} 64000.00 (3 trades)", "local:RUST-USDC 0.1212280 (1 trade)"]


async def test_what_is_hidden_is_not_shown(store: MemoryStore):
    assert len(await lines(store, "1m", {})) == 3
    assert [line.name for line in await lines(store, "1m", {}, hidden={"kraken", "31337"})] == [
        POOL
    ]


def test_names_are_kept_for_other_commands(tmp_path: Path):
    assert read_names(tmp_path) == {}
    write_names(tmp_path, {POOL: "local:RUST-USDC"})
    assert read_names(tmp_path) == {POOL: "local:RUST-USDC"}
    (tmp_path / FILE_NAME).write_text("oops")
    assert read_names(tmp_path) == {}
