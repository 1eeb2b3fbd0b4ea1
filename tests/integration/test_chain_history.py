"""The past of markets that run already, from a real EVM into their candles."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from chainrig import LiveChain, Rig, live_chain, now_ms, rig
from rich.console import Console

from chaintide.api import chains
from chaintide.api.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.slow]
START_S = 1_700_438_400
BLOCK_S = 12


def let_markets_begin(chain: LiveChain, block: int) -> list[str]:
    """Follow the markets from ``block`` on only; return their contracts."""
    kinds = {"credential-market", "persona-market"}
    contracts = [
        msgspec.structs.replace(each, start_block=block) if each.kind in kinds else each
        for each in chain.config.contracts
    ]
    chain.config = msgspec.structs.replace(chain.config, contracts=contracts)
    return [each.address for each in contracts if each.kind in kinds]


async def until_it_runs(run: Rig) -> None:
    async with asyncio.timeout(60):
        while not await run.stored():  # noqa: ASYNC110  a store has no event
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
async def test_after_a_sync_candles_of_running_markets_are_those_of_the_whole_chain(
    tmp_path: Path,
):
    with live_chain(tmp_path, start_s=START_S, block_time_s=BLOCK_S) as chain:
        chain.step(120)
        markets = let_markets_begin(chain, chain.head)
        async with rig(tmp_path, chain) as run:
            chain.step(30)
            await until_it_runs(run)
            settings = Settings(
                data_dir=run.settings.data_dir,
                kafka=run.kafka.bootstrap,
                partitions=run.settings.partitions,
                chains=tmp_path / "chains.json",
            )
            for market in markets:
                wanted = chains.History(address=market, chain=chain.config.key, first=0, last=None)
                assert await chains.sync(settings, wanted, Console(quiet=True), now_ms) > 100
                chain.rollback(3)
                chain.step(5)
            assert await run.check() > 150
            logs = await run.logs()
            assert sorted((x.number, x.block_hash, x.log_index) for x in logs) == chain.places()
