"""The kinds of contracts that are known by name: our own, and Uniswap's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chaintide.contracts.artifacts import NAMES, artifact
from chaintide.streams.chain.abi import Events
from chaintide.streams.chain.chainfile import ChainConfig, ChildConfig, ContractConfig
from chaintide.streams.chain.pools import OWN, UNISWAP_V2, UNISWAP_V3
from chaintide.streams.chain.watch import Factory, Kind, Named, Watch
from chaintide.streams.errors import ConfigError

CUSTOM: Final = "events"
_ERC20: Final = """
    Transfer(address indexed from, address indexed to, uint256 value);
    Approval(address indexed owner, address indexed spender, uint256 value)
"""
_V2_FACTORY: Final = """
    PairCreated(address indexed token0, address indexed token1, address pair, uint256 pairs)
"""
_V2_PAIR: Final = """
    Transfer(address indexed from, address indexed to, uint256 value);
    Approval(address indexed owner, address indexed spender, uint256 value);
    Mint(address indexed sender, uint256 amount0, uint256 amount1);
    Burn(address indexed sender, uint256 amount0, uint256 amount1, address indexed to);
    Swap(address indexed sender, uint256 amount0In, uint256 amount1In,
        uint256 amount0Out, uint256 amount1Out, address indexed to);
    Sync(uint112 reserve0, uint112 reserve1)
"""
_V3_FACTORY: Final = """
    PoolCreated(address indexed token0, address indexed token1, uint24 indexed fee,
        int24 tickSpacing, address pool);
    OwnerChanged(address indexed oldOwner, address indexed newOwner);
    FeeAmountEnabled(uint24 indexed fee, int24 indexed tickSpacing)
"""
_V3_POOL: Final = """
    Initialize(uint160 sqrtPriceX96, int24 tick);
    Mint(address sender, address indexed owner, int24 indexed tickLower,
        int24 indexed tickUpper, uint128 amount, uint256 amount0, uint256 amount1);
    Collect(address indexed owner, address recipient, int24 indexed tickLower,
        int24 indexed tickUpper, uint128 amount0, uint128 amount1);
    Burn(address indexed owner, int24 indexed tickLower, int24 indexed tickUpper,
        uint128 amount, uint256 amount0, uint256 amount1);
    Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1,
        uint160 sqrtPriceX96, uint128 liquidity, int24 tick);
    Flash(address indexed sender, address indexed recipient, uint256 amount0,
        uint256 amount1, uint256 paid0, uint256 paid1);
    IncreaseObservationCardinalityNext(uint16 observationCardinalityNextOld,
        uint16 observationCardinalityNextNew);
    SetFeeProtocol(uint8 feeProtocol0Old, uint8 feeProtocol1Old, uint8 feeProtocol0New,
        uint8 feeProtocol1New);
    CollectProtocol(address indexed sender, address indexed recipient, uint128 amount0,
        uint128 amount1)
"""


def event_of(text: str) -> dict[str, Any]:
    """Return the ABI entry of an event that is written as in Solidity.

    >>> event_of("Sync(uint112 reserve0)")["inputs"]
    [{'name': 'reserve0', 'type': 'uint112', 'indexed': False}]
    """
    name, _, rest = text.removesuffix(")").partition("(")
    words = [each.split() for each in rest.split(",")]
    inputs = [
        {"name": each[-1], "type": each[0], "indexed": each[1:-1] == ["indexed"]} for each in words
    ]
    return {"type": "event", "name": name, "inputs": inputs}


def _written(texts: str) -> Events:
    return Events(event_of(text.strip()) for text in texts.split(";"))


def _ours(name: str) -> Events:
    return Events(dict(entry) for entry in artifact(name).abi)


def known_kinds() -> dict[str, Kind]:
    """Return every kind that has a name.

    >>> sorted(known_kinds())[:3]
    ['credential-factory', 'credential-market', 'dao']
    """
    return {
        "credential-factory": Kind(
            _ours("CredentialTokenFactory"),
            (Factory("CredentialTokenCreated", "tokenAddress", "erc20"),),
        ),
        "credential-market": Kind(
            _ours("CredentialMarket"), streams=("credentialId", "id"), market=OWN
        ),
        "dao": Kind(_ours("AgriDAO")),
        "dao-factory": Kind(_ours("AgriDAOFactory"), (Factory("DAOCreated", "dao", "dao"),)),
        "erc20": Kind(_written(_ERC20)),
        "governance": Kind(_ours("GovernanceSlashing")),
        "knowledge": Kind(_ours("KnowledgeTokens")),
        "persona-factory": Kind(
            _ours("PersonaTokenFactory"),
            (Factory("PersonaTokenCreated", "tokenAddress", "erc20"),),
        ),
        "persona-market": Kind(_ours("PersonaMarket"), streams=("personaId", "id"), market=OWN),
        "produce": Kind(_ours("ProduceRegistry")),
        "uniswap-v2-factory": Kind(
            _written(_V2_FACTORY), (Factory("PairCreated", "pair", "uniswap-v2-pair"),)
        ),
        "uniswap-v2-pair": Kind(_written(_V2_PAIR), market=UNISWAP_V2),
        "uniswap-v3-factory": Kind(
            _written(_V3_FACTORY), (Factory("PoolCreated", "pool", "uniswap-v3-pool"),)
        ),
        "uniswap-v3-pool": Kind(_written(_V3_POOL), market=UNISWAP_V3),
    }


def watch_of(chain: ChainConfig, home: Path) -> Watch:
    """Return what is watched on ``chain``; files of ABIs are sought from ``home`` on.

    Raises:
        ConfigError: If a kind or an ABI is unknown, or has no such event.
    """
    kinds = known_kinds()
    named: dict[str, Named] = {}
    for contract in chain.contracts:
        who = f"chain {chain.name}: contract {contract.address}"
        try:
            kind = _kind(contract, kinds, home)
        except ConfigError as error:
            raise ConfigError(f"{who}: {error}") from None
        start = chain.start_block if contract.start_block is None else contract.start_block
        named[contract.address] = Named(kind, start)
    return Watch(chain.key, kinds, named)


def _kind(contract: ContractConfig, kinds: dict[str, Kind], home: Path) -> str:
    """Return the name of the kind of ``contract``; one of its own is added to ``kinds``."""
    if contract.kind != CUSTOM:
        _check_known(contract.kind, kinds)
        if contract.abi or contract.stream or contract.children:
            raise ConfigError(f"kind: {contract.kind} has its own abi, stream and children")
        return contract.kind
    if not contract.abi:
        raise ConfigError("abi: missing; it is a file or one of our contracts")
    name = f"{CUSTOM}:{contract.abi}"
    if contract.stream or contract.children:
        name = f"{name}:{contract.address.lower()}"
    abi = read_abi(contract.abi, home)
    factories = tuple(_factory(child, abi, kinds, home) for child in contract.children)
    kinds[name] = Kind(Events(abi), factories, tuple(contract.stream))
    return name


def _factory(
    child: ChildConfig, abi: list[dict[str, Any]], kinds: dict[str, Kind], home: Path
) -> Factory:
    events = {entry["name"]: entry for entry in abi if entry.get("type") == "event"}
    if child.event not in events:
        raise ConfigError(f"children: the abi has no event {child.event}")
    arguments = [one.get("name") for one in events[child.event]["inputs"]]
    if child.argument not in arguments:
        raise ConfigError(f"children: {child.event} has no argument {child.argument}")
    if child.kind != CUSTOM:
        _check_known(child.kind, kinds)
        return Factory(child.event, child.argument, child.kind)
    name = f"{CUSTOM}:{child.abi}"
    kinds.setdefault(name, Kind(Events(read_abi(child.abi, home))))
    return Factory(child.event, child.argument, name)


def _check_known(kind: str, kinds: Mapping[str, Kind]) -> None:
    if kind not in kinds:
        known = ", ".join(sorted(each for each in kinds if ":" not in each))
        raise ConfigError(f"kind: there is no {kind!r}; there are {CUSTOM}, {known}")


def read_abi(name: str, home: Path) -> list[dict[str, Any]]:
    """Return the ABI of one of our contracts, or in a JSON file: alone, or under ``abi``.

    Raises:
        ConfigError: If there is none.
    """
    if name in NAMES:
        return [dict(entry) for entry in artifact(name).abi]
    try:
        told = json.loads((home / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"abi: {name} cannot be read: {error}") from error
    abi = told.get("abi") if isinstance(told, dict) else told
    if not isinstance(abi, list) or not all(isinstance(entry, dict) for entry in abi):
        raise ConfigError(f"abi: {name} holds no list of events")
    if not any(entry.get("type") == "event" for entry in abi):
        raise ConfigError(f"abi: {name} has no event")
    return abi
