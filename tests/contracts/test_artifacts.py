"""What is committed is what the sources say, and has the events that others rely on."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chaintide.contracts import npm
from chaintide.contracts.artifacts import (
    FOLDER,
    NAMES,
    artifact,
    decode_artifact,
    encode_artifact,
)
from chaintide.contracts.build import SOLC_VERSION, CompileError, compiled, sources
from chaintide.contracts.interface import signature
from chaintide.contracts.npm import NpmError

MARKETS = {"CredentialMarket": "credentialId", "PersonaMarket": "personaId"}
SIGNATURES = {
    "GovernanceSlashing": {
        "ProposalCreated(uint256,address,bytes32,uint256)",
        "VoteCast(uint256,address,uint8,uint256)",
    },
}
NAMED = {
    "AgriDAOFactory": {"DAOCreated"},
    "AgriDAO": {"ProjectProposed", "ProjectFunded", "MemberJoined"},
    "KnowledgeTokens": {"KnowledgeTokenMinted", "KnowledgePurchased"},
    "ProduceRegistry": {
        "ProduceRegistered",
        "ProduceUpdated",
        "ProduceTransferred",
        "PriceSet",
        "QualityVerified",
    },
}


def events(name):
    return [entry for entry in artifact(name).abi if entry["type"] == "event"]


def declared(event):
    inputs = (
        f"{each['type']} {'indexed ' if each['indexed'] else ''}{each['name']}"
        for each in event["inputs"]
    )
    return f"{event['name']}({', '.join(inputs)})"


def compile_or_skip(files):
    try:
        return compiled(files)
    except NpmError as error:
        pytest.skip(str(error))


def test_what_is_committed_is_what_the_compiler_makes_of_the_sources():
    fresh = compile_or_skip(sources())
    stale = [
        name
        for name in NAMES
        if (FOLDER / f"{name}.json").read_bytes() != encode_artifact(fresh[name])
    ]
    assert stale == [], "run `python -m chaintide.contracts.build`"
    left_out = {name for name, found in fresh.items() if found.bytecode != "0x"} - {*NAMES}
    assert left_out == set()


def test_nothing_else_is_committed():
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize(("name", "key"), MARKETS.items())
def test_markets_have_the_promised_events(name, key):
    key = f"bytes32 indexed {key}"
    amounts = "int256 tokenAmount, int256 usdcAmount, uint256 fee"
    assert {declared(event) for event in events(name)} >= {
        f"PoolCreated({key}, address tokenAddress, uint256 initialLiquidity)",
        f"Swap({key}, address indexed user, {amounts})",
        f"ReservesUpdated({key}, uint256 tokenReserves, uint256 usdcReserves)",
    }


@pytest.mark.parametrize("name", SIGNATURES)
def test_governance_has_the_promised_events(name):
    assert {signature(event) for event in events(name)} >= SIGNATURES[name]


@pytest.mark.parametrize("name", NAMED)
def test_the_other_contracts_have_the_promised_events(name):
    assert {event["name"] for event in events(name)} >= NAMED[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_contract_fits_into_a_block_of_any_chain(name):
    assert len(artifact(name).bytecode) // 2 < 24_576
    assert decode_artifact(encode_artifact(artifact(name))) == artifact(name)


def test_a_source_the_compiler_warns_of_is_refused():
    source = "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.28;\ncontract A {\n"
    source += "    function f() external pure {\n        uint256 unused;\n    }\n}\n"
    with pytest.raises(CompileError, match="Unused local variable"):
        compile_or_skip({"A.sol": source})


def test_the_locks_pin_versions_and_name_no_host():
    for plan in ("solidity", "anvil"):
        folder = Path(npm.__file__).parent / "plans" / plan
        lock = json.loads((folder / "package-lock.json").read_text())
        assert "resolved" not in json.dumps(lock)
        asked = json.loads((folder / "package.json").read_text())["dependencies"]
        assert lock["packages"][""]["dependencies"] == asked
        for name, version in asked.items():
            assert lock["packages"][f"node_modules/{name}"]["version"] == version
    lock = json.loads((folder.parent / "solidity/package.json").read_text())
    assert lock["dependencies"]["solc"] == SOLC_VERSION


def test_a_download_without_a_network_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retry_mintimeout", "1")
    with pytest.raises(NpmError, match="npm config set registry"):
        npm.installed(npm.PLANS / "anvil", "anvil-1.7.1")
    assert list((tmp_path / "cache/chaintide").iterdir()) == []


def test_reading_the_artifacts_needs_neither_a_chain_nor_npm():
    program = (
        "import sys; from chaintide.contracts.artifacts import artifact, NAMES; "
        "[artifact(name) for name in NAMES]; "
        "assert not {'chaintide.contracts.npm', 'eth_abi', 'web3'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_error_is_provoked_and_every_event_seen_by_name():
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    declared_names = {
        name
        for source in sources().values()
        for name in re.findall(r"^    (?:error|event) (\w+)", source, re.MULTILINE)
    }
    assert {name for name in declared_names if f'"{name}"' not in tests} == set()


def test_the_page_names_every_contract_event_and_error():
    page = (Path(__file__).parents[2] / "docs/reference/contracts.md").read_text()
    declared_names = {
        name
        for source in sources().values()
        for name in re.findall(r"^    (?:error|event) (\w+)", source, re.MULTILINE)
    }
    assert {
        name for name in {*NAMES} | declared_names if not re.search(rf"\b{name}\b", page)
    } == set()
