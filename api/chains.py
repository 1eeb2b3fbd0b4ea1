"""What commands do with chains: follow them, and write the history of one contract."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chaintide.api import roles
from chaintide.api.settings import Settings
from chaintide.api.sockets.garbage import seldom
from chaintide.streams.chain.chainfile import ChainConfig, chosen, read_chains
from chaintide.streams.chain.chains import Following, Surroundings, follow_chains
from chaintide.streams.chain.ingest import ChainFeed
from chaintide.streams.chain.ranges import Range
from chaintide.streams.errors import ConfigError
from chaintide.streams.kafka import KafkaConfig

NOTICE_S: Final = 2.0  # until a follower that is replaced has noticed it


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The blocks of which all that a contract logged is wanted.

    Without a ``first`` those from its start on, without a ``last`` those up to the last final one.
    """

    address: str
    chain: str
    first: int | None
    last: int | None


def configs(settings: Settings, names: list[str] | None = None) -> list[ChainConfig]:
    """Return the chains with these names or ids, all that are configured if none is given.

    Raises:
        ConfigError: If there is none.
    """
    if settings.chains is None:
        raise ConfigError("set CHAINTIDE_CHAINS to the file that names chains")
    chains = read_chains(settings.chains)
    return chosen(chains, names) if names is not None else chains


async def follow(settings: Settings, names: list[str], now_ms: Callable[[], int]) -> None:
    """Follow the chains with these names or ids until cancelled."""
    chains = configs(settings, names)
    with seldom():
        async with roles.kafka(settings) as (kafka, _):
            await follow_chains(chains, _around(settings, kafka, now_ms))


async def sync(
    settings: Settings, wanted: History, console: Console, now_ms: Callable[[], int]
) -> int:
    """Write what is missing of the history of a contract; return how many logs that were.

    Whoever follows the chain waits meanwhile.
    """
    [config] = configs(settings, [wanted.chain])
    with seldom():
        async with roles.kafka(settings) as (kafka, _):
            around = _around(settings, kafka, now_ms)
            following = Following(_from_block(config, wanted), around)
            async with following.feed(wanted.last) as (feed, takeover):
                await feed.take_over(takeover)
                await asyncio.sleep(NOTICE_S)
                await _sync(feed, wanted, console)
                return feed.publishing.logs


async def _sync(feed: ChainFeed, wanted: History, console: Console) -> None:
    address = wanted.address.lower()
    final = await feed.final_number()
    last = final if wanted.last is None else min(final, wanted.last)
    first = feed.publishing.watch.named[address].start
    holes = feed.log.coverage.unwritten(address, Range(first, last))
    ahead = feed.ahead(last)
    total = sum(len(hole.blocks) for hole in holes) + (len(ahead) if ahead else 0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("blocks", total=total)

        def on_blocks(count: int) -> None:
            progress.advance(task, count)

        await feed.fill(address, Range(first, last), on_blocks)
        if ahead is not None:
            await feed.go_on(ahead, on_blocks)


def _from_block(config: ChainConfig, wanted: History) -> ChainConfig:
    """Return the chain with the wanted contract from the wanted block on."""
    addresses = [contract.address.lower() for contract in config.contracts]
    if wanted.address.lower() not in addresses:
        raise ConfigError(f"chain {config.name} has no contract {wanted.address}; add it first")
    place = addresses.index(wanted.address.lower())
    contract = config.contracts[place]
    start = config.start_block if contract.start_block is None else contract.start_block
    if wanted.first is None:
        return config
    if wanted.first < start and (contract.children or contract.kind.endswith("-factory")):
        raise ConfigError(
            f"chain {config.name}: {wanted.address} makes contracts; to follow them from block "
            f"{wanted.first} on, its start_block has to be {wanted.first}"
        )
    contracts = list(config.contracts)
    contracts[place] = msgspec.structs.replace(contract, start_block=wanted.first)
    return msgspec.structs.replace(config, contracts=contracts)


def _around(settings: Settings, kafka: KafkaConfig, now_ms: Callable[[], int]) -> Surroundings:
    home = settings.chains.parent if settings.chains is not None else Path()
    return Surroundings(kafka=kafka, partitions=settings.partitions, home=home, now_ms=now_ms)
