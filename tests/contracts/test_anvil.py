"""The local chain starts, answers, finalizes, and never outlives whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from localchain import account

from chaintide.contracts.anvil import AnvilError, AnvilOptions, RpcError, start_anvil
from chaintide.contracts.npm import NpmError
from chaintide.streams.child import Child


@pytest.fixture
def start(tmp_path):
    chains = []

    def started(**options):
        try:
            chain = start_anvil(Child, tmp_path / f"{len(chains)}.log", AnvilOptions(**options))
        except NpmError as error:
            pytest.skip(str(error))
        chains.append(chain)
        return chain

    yield started
    for chain in chains:
        chain.stop()


def block(chain, name):
    return int(chain.rpc("eth_getBlockByNumber", [name, False])["number"], 16)


def test_without_mining_blocks_come_when_asked_for_and_are_final_eight_later(start):
    chain = start(is_mining=False)
    chain.rpc("anvil_autoImpersonateAccount", [True])
    chain.rpc("anvil_setBalance", [account(1), hex(10**20)])
    chain.rpc("eth_sendTransaction", [{"from": account(1), "to": account(2), "value": "0x1"}])
    assert chain.rpc("eth_blockNumber") == "0x0"
    chain.rpc("anvil_mine", [hex(20)])
    assert (block(chain, "latest"), block(chain, "finalized")) == (20, 12)


def test_blocks_come_by_themselves_in_an_interval(start):
    chain = start(block_time_s=0.05)
    deadline = time.monotonic() + 30
    while block(chain, "latest") < 3:
        assert time.monotonic() < deadline


def test_what_the_chain_refuses_is_an_error_with_its_code(start):
    with pytest.raises(RpcError, match="Method not found") as caught:
        start().rpc("eth_nonsense")
    assert caught.value.code == -32_601


def test_a_port_that_is_taken_is_named(start):
    port = int(start().url.rpartition(":")[2])
    with pytest.raises(AnvilError, match=r"(?i)address (already )?in use"):
        start(port=port)


def test_a_chain_that_has_stopped_is_an_error_at_the_next_request(start):
    chain = start()
    assert chain.is_running
    chain.stop()
    assert not chain.is_running
    with pytest.raises(AnvilError, match="does not answer eth_blockNumber"):
        chain.rpc("eth_blockNumber")


def test_two_chains_of_one_start_are_the_same(start):
    first, second = start(start_s=1_800_000_000), start(start_s=1_800_000_000)
    assert first.rpc("eth_getBlockByNumber", ["0x0", False]) == second.rpc(
        "eth_getBlockByNumber", ["0x0", False]
    )


def test_the_chain_dies_with_whoever_started_it(start, tmp_path):
    start()  # so that nothing is downloaded below
    program = (
        "import os, pathlib; from chaintide.contracts.anvil import start_anvil; "
        "from chaintide.streams.child import Child; "
        f"chain = start_anvil(Child, pathlib.Path({str(tmp_path / 'mortal.log')!r})); "
        "print(chain._process.pid, flush=True); os.read(0, 1)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pid = int(owner.stdout.readline())
    assert is_alive(pid)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    deadline = time.monotonic() + 30
    while is_alive(pid):
        assert time.monotonic() < deadline


def is_alive(pid):
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"  # nobody waits for an orphan's orphan in a container
