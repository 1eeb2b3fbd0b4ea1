"""The file that names chains: their nodes, and the contracts to follow there."""

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from chaintide.streams.chain.window import MAX_BLOCKS
from chaintide.streams.errors import ConfigError

_VARIABLE: Final = "CHAINTIDE_CHAINS"
_PLACE: Final = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}$")]
_Block = Annotated[int, msgspec.Meta(ge=0)]


class ChildConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event with which a contract names another one, in ``argument``, and that one's kind."""

    event: str
    argument: str
    kind: str = "events"
    abi: str = ""


class ContractConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A contract to follow from ``start_block`` on.

    ``abi`` is a file or one of our contracts, for kind ``events``; ``stream`` are the arguments
    that tell apart what the contract holds many of.
    """

    address: _Address
    kind: str = "events"
    abi: str = ""
    start_block: _Block | None = None
    stream: list[str] = []
    children: list[ChildConfig] = []


class ChainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One chain: its EVM chain id, where its nodes answer, and what to follow there.

    A block is final when the nodes say so; where they do not, when it is ``finality_depth`` blocks
    deep. Prices are in one of the tokens ``quotes``, by their addresses, if the pool has one.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    id: Annotated[int, msgspec.Meta(ge=1)]
    http: Annotated[list[str], msgspec.Meta(min_length=1)]
    ws: str = ""
    start_block: _Block = 0
    finality_depth: Annotated[int, msgspec.Meta(ge=1, lt=MAX_BLOCKS)] | None = None
    poll_ms: Annotated[int, msgspec.Meta(ge=50)] = 1_000
    has_bloom: bool = True
    has_receipts: bool | None = None
    has_hashes: bool = True
    quotes: list[_Address] = []
    contracts: list[ContractConfig] = []

    @property
    def key(self) -> str:
        """The name of the chain in records and markets.

        >>> ChainConfig(name="ethereum", id=1, http=["http://127.0.0.1:8545"]).key
        '1'
        """
        return str(self.id)


def read_chains(path: Path) -> list[ChainConfig]:
    """Return the chains that the file ``path``, TOML or JSON, names.

    Raises:
        ConfigError: If there is no such file or something in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{_VARIABLE}={path} cannot be read: {reason}") from error
    try:
        return chains_of(text, is_json=path.suffix == ".json")
    except ConfigError as error:
        raise ConfigError(f"{_VARIABLE}={path}: {error}") from None


def chains_of(text: str, *, is_json: bool = False) -> list[ChainConfig]:
    """Return the chains that ``text`` names.

    >>> [chain] = chains_of('chains = [{name = "local", id = 5, http = ["http://127.0.0.1:1"]}]')
    >>> chain.id
    5

    Raises:
        ConfigError: Which chain and field is wrong, and why.
    """
    try:
        told: Any = json.loads(text) if is_json else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"neither TOML nor JSON: {error}") from error
    listed = told.get("chains") if isinstance(told, dict) else None
    if not isinstance(listed, list) or not listed or set(told) != {"chains"}:
        raise ConfigError("there has to be a list `chains`, and nothing beside it")
    chains = [_chain(place, each) for place, each in enumerate(listed, 1)]
    for field in ("name", "id"):
        values = [getattr(chain, field) for chain in chains]
        if twice := sorted({str(value) for value in values if values.count(value) > 1}):
            raise ConfigError(f"two chains with the {field} {twice[0]}")
    return chains


def chosen(chains: list[ChainConfig], wanted: list[str]) -> list[ChainConfig]:
    """Return the chains with the names or ids ``wanted``, each once.

    Raises:
        ConfigError: If there is no such chain.
    """
    known = {chain.name: chain for chain in chains} | {chain.key: chain for chain in chains}
    if missing := [each for each in wanted if each not in known]:
        names = ", ".join(f"{chain.name} ({chain.id})" for chain in chains)
        raise ConfigError(f"{_VARIABLE} names no chain {missing[0]}; there are {names}")
    return list({known[each].name: known[each] for each in wanted}.values())


def _chain(place: int, told: Any) -> ChainConfig:  # noqa: ANN401  TOML or JSON
    name = told.get("name") if isinstance(told, dict) else None
    who = f"chain {name}" if isinstance(name, str) else f"chain number {place}"
    try:
        chain = msgspec.convert(told, ChainConfig)
    except msgspec.ValidationError as error:
        match = _PLACE.fullmatch(str(error))
        reason, where = (match[1], match[2] or "") if match else (str(error), "")
        raise ConfigError(f"{who}: {where}: {reason}" if where else f"{who}: {reason}") from None
    if fault := _fault_of(chain):
        raise ConfigError(f"{who}: {fault}")
    return chain


def _fault_of(chain: ChainConfig) -> str:
    for url in chain.http:
        if not url.startswith(("http://", "https://")):
            return f"http: {url!r} begins with neither http:// nor https://"
    if chain.ws and not chain.ws.startswith(("ws://", "wss://")):
        return f"ws: {chain.ws!r} begins with neither ws:// nor wss://"
    addresses = [contract.address.lower() for contract in chain.contracts]
    if twice := sorted({each for each in addresses if addresses.count(each) > 1}):
        return f"contracts: {twice[0]} is there twice"
    return ""
