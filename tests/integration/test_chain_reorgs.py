"""Real reorgs of a real EVM: what is stored is always what the canonical chain says."""

import asyncio
import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from chainrig import Rig, live_chain, rig
from integration.test_chains import read
from processes import is_alive

from chaintide.streams.chain.blocks import header_of
from chaintide.streams.records import DeadLetter
from chaintide.streams.topics import DEAD_LETTERS

pytestmark = [pytest.mark.broker, pytest.mark.slow]
START_S = 1_700_438_400


@pytest.mark.timeout(300)
async def test_candles_follow_every_kind_of_reorg(tmp_path: Path):
    with live_chain(tmp_path, start_s=START_S, block_time_s=9) as chain:
        chain.step(20)
        async with rig(tmp_path, chain) as run:
            assert await run.check() > 20
            await deeper_and_shorter(run)
            await flapping_back(run)
            await one_block_later(run)
            logs = await run.logs()
        headers = [header_of(chain.block(number)) for number in range(chain.head + 1)]
    assert len(logs) > 500
    assert [header.sealed for header in headers] == [header.hash for header in headers]


async def deeper_and_shorter(run: Rig) -> None:
    chain = run.chain
    for depth, length in ((2, 4), (5, 6), (5, 2), (1, 1)):
        before = chain.head
        old = chain.rollback(depth)
        chain.step(length)
        assert chain.head == before - depth + length
        assert chain.block(before - depth + 1)["hash"] != old[0]["hash"]
        await run.check()


async def flapping_back(run: Rig) -> None:
    """The first branch loses to another and then wins after all, with the very same blocks."""
    chain = run.chain
    chain.step(4)
    await run.check()
    first = chain.rollback(3)
    chain.step(4)
    await run.check()
    chain.rollback(4)
    for block in first:
        chain.mine_again(block)
    assert [chain.block(int(b["number"], 16))["hash"] for b in first] == [b["hash"] for b in first]
    chain.step(2)
    await run.check()


async def one_block_later(run: Rig) -> None:
    """Swaps of a block are in the next one instead, once each."""
    chain = run.chain
    chain.step(3)
    await run.check()
    old = chain.block(chain.head - 1)
    moved = [
        [{k: t[k] for k in ("from", "to", "gas")} | {"data": t["input"]}, 1]
        for t in old["transactions"]
    ]
    chain.rpc("anvil_reorg", [2, moved])
    await run.check()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_in_the_middle_of_reorgs_candles_are_those_of_the_chain(
    tmp_path: Path, seed: int
):
    rng = random.Random(seed)
    kills = 0
    with live_chain(tmp_path, seed=seed, reorg_every=3, start_s=START_S, block_time_s=9) as chain:
        chain.step(10)
        async with rig(tmp_path, chain) as run:
            await run.check()
            for _ in range(3):
                for _ in range(12):
                    await asyncio.to_thread(chain.step)
                    if rng.random() < 0.35:
                        await kill(run, rng.choice(["chains", "worker-1"]))
                        kills += 1
                    await asyncio.sleep(rng.uniform(0, 0.3))
                await run.check()
            logs = await run.logs()
            assert sorted((x.number, x.block_hash, x.log_index) for x in logs) == chain.places()
    assert kills > 5


@pytest.mark.timeout(300)
async def test_at_every_final_block_the_demo_s_candles_are_those_of_a_recompute(tmp_path: Path):
    """As the demo trades, with a reorg every few blocks: what is final is right, and only that."""
    with live_chain(tmp_path, seed=3, reorg_every=4, start_s=START_S, block_time_s=15) as chain:
        chain.step(12)
        async with rig(tmp_path, chain) as run:
            finals = []
            for _ in range(8):
                await asyncio.to_thread(chain.step, 4)
                finals.append(await run.check_final())
            assert await run.check() > finals[-1] > finals[0]
            assert len({market.partition("/")[0] for market in chain.trades()}) == 2


@pytest.mark.timeout(300)
async def test_a_chain_that_takes_back_final_blocks_stops_loudly_and_the_other_goes_on(
    tmp_path: Path,
):
    with (
        live_chain(tmp_path, start_s=START_S, block_time_s=9) as good,
        live_chain(tmp_path, chain_id=31_338, seed=2, start_s=START_S, block_time_s=9) as bad,
    ):
        bad.config = msgspec.structs.replace(bad.config, name="bad")
        good.step(10)
        bad.step(20)
        async with rig(tmp_path, good, bad) as run:
            await run.check()
            await replace(run, chain=bad).check()
            bad.rollback(18)
            bad.step(24)
            async with asyncio.timeout(60):
                while not (letters := await read(run.kafka, DEAD_LETTERS)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            letter = msgspec.json.decode(letters[0], type=DeadLetter)
            assert letter.key == bad.config.key
            assert "took back its final block" in letter.reason
            before = await run.check()
            good.step(5)
            assert await run.check() > before


async def kill(run: Rig, name: str) -> None:
    """Kill -9 a role once it runs."""
    [role] = [role for role in run.supervisor.roles if role.name == name]
    async with asyncio.timeout(60):
        while role.child is None or not is_alive(role.child.pid):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    os.kill(role.child.pid, signal.SIGKILL)


@pytest.mark.timeout(300)
async def test_after_an_hour_away_nothing_is_missing_twice_or_out_of_order(tmp_path: Path):
    with live_chain(tmp_path, start_s=START_S, block_time_s=12) as chain:
        chain.step(20)
        async with rig(tmp_path, chain) as run:
            await run.check()
            [role] = [role for role in run.supervisor.roles if role.name == "chains"]
            run.supervisor.roles.remove(role)
            assert role.child is not None
            role.child.stop(20)
            chain.step(310)
            run.supervisor.add("chains", "ingest", "--chain", chain.config.name)
            await run.check()
            logs = await run.logs()
    places = [(log.number, log.block_hash, log.log_index) for log in logs]
    streams: dict[str, list[tuple[int, int]]] = {}
    for log in logs:
        streams.setdefault(log.stream, []).append((log.number, log.log_index))
    assert all(order == sorted(set(order)) for order in streams.values())
    assert len(places) == len(set(places))
