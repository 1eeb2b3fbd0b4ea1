"""The demo's chain is started and followed; where it cannot be had, one line says so."""

import asyncio
import json
from pathlib import Path

import pytest

from chaintide.api.demochain import CHAINS, LOCAL_CHAIN, DemoChain
from chaintide.api.localchain import FIRST_ID, former_ids, next_id, write
from chaintide.api.supervisor import Supervisor
from chaintide.contracts.anvil import program
from chaintide.contracts.npm import NpmError
from chaintide.streams.chain.chainfile import ChainConfig

# What the roles would do is written down by a shell; it lives until it is told to end.
WAIT = 'echo "$@ chains=$CHAINTIDE_CHAINS"; trap "exit 0" TERM; while :; do sleep 0.1; done'


def supervisor_in(home: Path) -> Supervisor:
    return Supervisor(home / "logs", {}, None, ("/bin/sh", "-c", WAIT, "sh"))


async def until(is_so) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  files and processes have no event
            await asyncio.sleep(0.02)


async def test_without_npm_the_demo_says_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    supervisor, said = supervisor_in(tmp_path), []
    await DemoChain(tmp_path, supervisor, said.append).keep()
    [line] = said
    assert line.startswith("no local chain, simulated markets only: cannot download anvil")
    assert "\n" not in line
    assert supervisor.roles == []


async def test_the_chain_is_followed_and_so_is_the_next_one(tmp_path):
    try:
        program()
    except NpmError as error:
        pytest.skip(str(error))
    supervisor, said = supervisor_in(tmp_path), []
    chain = DemoChain(tmp_path, supervisor, said.append)
    watching = asyncio.create_task(supervisor.watch(lambda _: None))
    keeping = asyncio.create_task(chain.keep())
    try:
        await until(lambda: [role.name for role in supervisor.roles] == [LOCAL_CHAIN])
        write(chain.file, ChainConfig(name="local", id=next_id(chain.file), http=["http://x"]))
        await until(lambda: len(supervisor.roles) == 2)
        log = tmp_path / "logs" / f"{CHAINS}.log"
        expected = f"ingest --chain local chains={chain.file}\n"
        await until(lambda: log.exists() and log.read_text() == expected)
        [followed] = [role for role in supervisor.roles if role.name == CHAINS]
        first = followed.child.pid
        write(chain.file, ChainConfig(name="local", id=next_id(chain.file), http=["http://x"]))
        await until(lambda: followed.child is not None and followed.child.pid != first)
        assert said == ["starting a local chain", f"local chain in {chain.file}"]
    finally:
        for task in (keeping, watching):
            task.cancel()
        await asyncio.gather(keeping, watching, return_exceptions=True)
        await supervisor.stop()


def test_every_chain_that_begins_anew_is_another_one(tmp_path):
    file = tmp_path / "chains.json"
    assert next_id(file) == FIRST_ID
    assert former_ids(file) == []
    write(file, ChainConfig(name="local", id=FIRST_ID, http=["http://127.0.0.1:1"]))
    assert next_id(file) == FIRST_ID + 1
    assert former_ids(file) == [str(FIRST_ID)]
    assert json.loads(file.read_text())["chains"][0]["name"] == "local"
