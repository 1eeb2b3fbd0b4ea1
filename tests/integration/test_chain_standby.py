"""Of two followers of a chain one stands by, and goes on when the other ends, however it does."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from chains import AMM, FACTORY, FakeChain
from integration.test_chains import (
    MADE,
    PARTITIONS,
    SWAPS,
    around,
    config,
    followed,
    grown,
    places,
    read,
    told,
    until,
    until_at_head,
)
from rich.console import Console
from rpc_mock import MockNode

from chaintide.api import chains
from chaintide.api.settings import Settings
from chaintide.streams import codec
from chaintide.streams.chain import chains as streams_chains
from chaintide.streams.chain import lease
from chaintide.streams.chain.records import BlockMessage, Owner
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.topics import BLOCKS

pytestmark = pytest.mark.broker
NEVER_MS = 10**9
_records = msgspec.json.Decoder(BlockMessage)


async def log_of(kafka: KafkaConfig, key: str) -> list[BlockMessage]:
    records = [codec.decode(_records, value) for value in await read(kafka, BLOCKS)]
    return [record for record in records if record.chain == key]


async def until_owned(kafka: KafkaConfig, key: str, owners: int) -> None:
    async def is_so() -> bool:
        log = await log_of(kafka, key)
        return sum(isinstance(record, Owner) for record in log) >= owners

    await until(is_so)


def settings_of(kafka: KafkaConfig, home: Path, node: MockNode, name: str) -> Settings:
    whole = config(node, name, MADE, SWAPS)
    around(kafka, home)
    file = home / "chains.json"
    file.write_text(json.dumps({"chains": [msgspec.to_builtins(whole)]}))
    return Settings(kafka=kafka.bootstrap, partitions=PARTITIONS, chains=file)


async def sync(settings: Settings, kafka: KafkaConfig, home: Path, key: str) -> None:
    wanted = chains.History(address=AMM, chain=key, first=None, last=None)
    now_ms = around(kafka, home).now_ms
    await chains.sync(settings, wanted, Console(quiet=True), now_ms)


@contextmanager
def ingest_process(settings: Settings, name: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "CHAINTIDE_KAFKA": str(settings.kafka),
        "CHAINTIDE_CHAINS": str(settings.chains),
        "CHAINTIDE_PARTITIONS": str(PARTITIONS),
    }
    command = [sys.executable, "-m", "chaintide.api.cli", "ingest", "--chain", name]
    with (home / "ingest.log").open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def check(kafka: KafkaConfig, chain: FakeChain, key: str) -> None:
    """Everything is written up to the head, and nothing twice."""
    assert told(await until_at_head(kafka, chain, key)) == places(chain, AMM, FACTORY)


@pytest.mark.timeout(240)
async def test_whoever_stands_by_goes_on_where_a_killed_process_ended(kafka, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "SILENCE_MS", NEVER_MS)
    chain = grown(90, 21)
    async with MockNode(chain, chain_id=81) as node:
        settings = settings_of(kafka, tmp_path, node, "killed")
        async with followed([config(node, "killed", MADE, SWAPS)], kafka, tmp_path):
            await check(kafka, chain, "81")
            with ingest_process(settings, "killed", tmp_path) as process:
                await until_owned(kafka, "81", 2)
                chain.grow(4)
                await check(kafka, chain, "81")
                chain.grow(40)
                process.kill()
                chain.reorg(3, 30)
                await asyncio.to_thread(process.wait)
            monkeypatch.setattr(lease, "SILENCE_MS", 1_000)
            await until_owned(kafka, "81", 3)
            await check(kafka, chain, "81")


@pytest.mark.timeout(240)
async def test_whoever_ends_in_order_gives_the_chain_to_the_one_that_stands_by_at_once(
    kafka, tmp_path, monkeypatch
):
    monkeypatch.setattr(lease, "SILENCE_MS", NEVER_MS)
    chain = grown(30, 22)
    async with MockNode(chain, chain_id=82) as node:
        configs = [config(node, "ended", MADE, SWAPS)]
        async with followed(configs, kafka, tmp_path):
            await check(kafka, chain, "82")
            async with followed(configs, kafka, tmp_path):
                await until_owned(kafka, "82", 2)
                chain.grow(5)
                await check(kafka, chain, "82")
            chain.grow(5)
            await check(kafka, chain, "82")


@pytest.mark.timeout(240)
async def test_a_history_that_is_given_up_while_it_takes_over_leaves_nobody_waiting(
    kafka, tmp_path, monkeypatch
):
    monkeypatch.setattr(lease, "SILENCE_MS", NEVER_MS)
    monkeypatch.setattr(chains, "NOTICE_S", 600.0)
    chain = grown(30, 23)
    async with MockNode(chain, chain_id=83) as node:
        settings = settings_of(kafka, tmp_path, node, "given-up")
        async with followed([config(node, "given-up", MADE, SWAPS)], kafka, tmp_path):
            await check(kafka, chain, "83")
            syncing = asyncio.create_task(sync(settings, kafka, tmp_path, "83"))
            await until_owned(kafka, "83", 2)
            syncing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await syncing
            chain.grow(5)
            await check(kafka, chain, "83")


@pytest.mark.timeout(240)
async def test_a_history_is_not_taken_away_by_one_that_saw_the_chain_free_before(
    kafka, tmp_path, monkeypatch
):
    """It is slow to begin, so that the second history has begun when it does."""
    monkeypatch.setattr(lease, "SILENCE_MS", NEVER_MS)
    monkeypatch.setattr(streams_chains, "STANDBY_S", 0.01)
    begin = streams_chains.Following._run_once

    async def begin_late(following: streams_chains.Following) -> None:
        await asyncio.sleep(1)
        await begin(following)

    monkeypatch.setattr(streams_chains.Following, "_run_once", begin_late)
    chain = grown(30, 25)
    async with MockNode(chain, chain_id=85) as node:
        settings = settings_of(kafka, tmp_path, node, "in-turn")
        async with followed([config(node, "in-turn", MADE, SWAPS)], kafka, tmp_path):
            await check(kafka, chain, "85")
            for _ in range(2):
                await sync(settings, kafka, tmp_path, "85")
            chain.grow(5)
            await check(kafka, chain, "85")


@pytest.mark.timeout(240)
async def test_an_owner_with_nothing_to_write_says_that_it_is_there(kafka, tmp_path, monkeypatch):
    monkeypatch.setattr(streams_chains, "SIGN_S", 0.2)
    monkeypatch.setattr(lease, "SILENCE_MS", NEVER_MS)
    chain = grown(30, 24)
    async with MockNode(chain, chain_id=84) as node:
        configs = [config(node, "quiet", MADE, SWAPS)]
        async with followed(configs, kafka, tmp_path), followed(configs, kafka, tmp_path):
            await until_owned(kafka, "84", 2)

            async def has_signed() -> bool:
                log = await log_of(kafka, "84")
                return [type(record).__name__ for record in log[-3:]] == ["Alive"] * 3

            await until(has_signed)
            log = await log_of(kafka, "84")
            assert {record.epoch for record in log[-3:]} == {max(record.epoch for record in log)}
