"""Everything on one machine: the broker, the roles as processes, and what a person sees."""

import asyncio
import fcntl
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from chaintide.api import roles
from chaintide.api.board import MarketLine, board, lines, plain
from chaintide.api.demochain import CHAIN_FILE, CHAINS, DemoChain
from chaintide.api.health import until_answering
from chaintide.api.localchain import former_ids
from chaintide.api.names import follow_names, write_names
from chaintide.api.replay import Replay, Replayed, progress_bar
from chaintide.api.running import Running, announced
from chaintide.api.settings import Settings
from chaintide.api.supervisor import Supervisor
from chaintide.streams.chain.chainfile import read_chains
from chaintide.streams.errors import ConfigError, FatalError
from chaintide.streams.intervals import Interval
from chaintide.streams.kafka import KafkaConfig
from chaintide.streams.records import Market

INTERVAL: Interval = "1m"
REDRAW_S = 1.0
REPORT_S = 2.0
POLL_S = 0.05
TAKE_OVER_S = 0.5
START_POLLS = 400


@asynccontextmanager
async def running(
    settings: Settings, workers: int, say: Callable[[str], None], *, has_extras: bool = False
) -> AsyncIterator[tuple[KafkaConfig, Supervisor]]:
    """Run broker, workers and a sink for this block, unless another process here does.

    ``has_extras`` adds the processes that learn probabilities and find anomalies.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    wanted = [
        (f"worker-{number}", ("worker", "--instance", f"w{number}"))
        for number in range(1, workers + 1)
    ]
    wanted.append(("sink-1", ("sink", "--instance", "s1")))
    if has_extras:
        wanted.append(("forecast-1", ("forecast", "--instance", "f1")))
        wanted.append(("detect-1", ("detect", "--instance", "a1")))
    with (settings.data_dir / "roles.lock").open("w") as lock:
        async with roles.kafka(settings) as (kafka, broker):
            environment = {
                "CHAINTIDE_KAFKA": kafka.bootstrap,
                "CHAINTIDE_DATA_DIR": str(settings.data_dir.absolute()),
            }
            supervisor = Supervisor(settings.data_dir / "logs", environment, broker)
            try:
                async with asyncio.TaskGroup() as tasks:
                    keeping = [
                        tasks.create_task(supervisor.watch(say)),
                        tasks.create_task(_take_roles(lock.fileno(), supervisor, wanted)),
                    ]
                    await asyncio.sleep(0)
                    yield kafka, supervisor
                    for task in keeping:
                        task.cancel()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from group
            finally:
                await supervisor.stop()


async def _take_roles(
    lock: int, supervisor: Supervisor, wanted: Sequence[tuple[str, Sequence[str]]]
) -> None:
    """Start what is ``wanted`` as soon as no other process here runs it."""
    while not _is_first(lock):  # noqa: ASYNC110  a file lock has no event
        await asyncio.sleep(TAKE_OVER_S)
    for name, arguments in wanted:
        supervisor.add(name, *arguments)


def _is_first(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


async def replay(
    settings: Settings,
    files: Sequence[Path],
    *,
    speed: float | None,
    workers: int,
    now_ms: Callable[[], int],
) -> Replayed:
    """Replay ``files`` and return once everything they say is stored."""
    console = Console(stderr=True)
    async with running(settings, workers, console.print) as (kafka, _):
        with progress_bar(console) as progress:
            run = Replay(kafka, settings.partitions, now_ms, progress)
            await run.publish(files, speed)
            await run.follow()
    return run.result


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What ``up`` runs, where it answers, and for how long (0: until interrupted)."""

    demo: bool
    workers: int
    http_port: int
    seconds: float


async def up(settings: Settings, plan: Plan, now_ms: Callable[[], int]) -> None:
    """Run everything and show the markets."""
    console = Console()
    port = _free(plan.http_port)
    chain_home = settings.data_dir / "chain"
    if plan.demo:  # its chain begins anew each time: what the former ones had is over
        settings = _without(settings, former_ids(chain_home / CHAIN_FILE))
    console.print("starting Kafka")
    running_all = running(settings, plan.workers, console.print, has_extras=True)
    async with running_all as (kafka, supervisor):
        console.print(f"Kafka {kafka.bootstrap} · data {settings.data_dir}")
        console.print("starting the page and the API")
        supervisor.environment["CHAINTIDE_HIDDEN_VENUES"] = settings.hidden_venues
        supervisor.add("serve", "serve", "--port", str(port))
        here = Running(
            url=f"http://127.0.0.1:{port}",
            kafka=kafka.bootstrap,
            data_dir=str(settings.data_dir.absolute()),
            is_demo=plan.demo,
            settings={"kafka": settings.kafka},
        )
        if plan.demo:
            here = msgspec.structs.replace(here, settings=await _exchange(supervisor, console))
        supervisor.add("ingest", "ingest")
        if settings.chains is not None and not plan.demo:
            chains = [chain.name for chain in read_chains(settings.chains)]
            supervisor.add(
                CHAINS, "ingest", *(word for name in chains for word in ("--chain", name))
            )
        names: dict[Market, str] = {}
        beside = [follow_names(kafka, _learning(names, settings)), _welcome(here.url, console)]
        if plan.demo:
            chain = DemoChain(chain_home, supervisor, console.print)
            beside.append(chain.keep())
        with announced(here):
            async with roles.store(settings) as store, _beside(*beside):
                with suppress(TimeoutError):
                    async with asyncio.timeout(plan.seconds or None):
                        await _show(
                            console, partial(lines, store, INTERVAL, names, settings.hidden), now_ms
                        )


def _without(settings: Settings, venues: Sequence[str]) -> Settings:
    """Return the settings under which what is of ``venues`` is not shown either."""
    hidden = ",".join([*sorted(settings.hidden), *venues])
    return settings.model_copy(update={"hidden_venues": hidden})


async def _exchange(supervisor: Supervisor, console: Console) -> dict[str, str]:
    """Start the simulated exchange; return the settings under which roles trade there."""
    ports = supervisor.home / "simulator.port"
    ports.unlink(missing_ok=True)
    supervisor.add("simulator", "simulate", "--port-file", str(ports.absolute()))
    port = await asyncio.to_thread(_port, ports)
    console.print(f"simulated exchange http://127.0.0.1:{port}, Kraken's protocol")
    settings = _demo_settings(port)
    supervisor.environment |= {
        f"CHAINTIDE_{name.upper()}": value for name, value in settings.items()
    }
    return settings


def _learning(
    names: dict[Market, str], settings: Settings
) -> Callable[[Mapping[Market, str]], None]:
    """Return what takes names of markets in, and keeps them for other commands."""

    def learn(told: Mapping[Market, str]) -> None:
        shown = {market for market in told if market.partition(":")[0] not in settings.hidden}
        names.update({market: told[market] for market in shown})
        write_names(settings.data_dir, names)

    return learn


async def _welcome(url: str, console: Console) -> None:
    """Say where the page is as soon as it is there."""
    await until_answering(url)
    console.print(f"page {url}/")
    console.print(f"API {url}/v1/markets")
    console.print(f"health {url}/readyz")


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do ``work`` for this block."""
    async with asyncio.TaskGroup() as tasks:
        doing = [tasks.create_task(each) for each in work]
        yield
        for task in doing:
            task.cancel()


def _free(port: int) -> int:
    """Return ``port`` if nobody listens there, or any free one for 0."""
    try:
        with socket.create_server(("127.0.0.1", port)) as bound:
            number: int = bound.getsockname()[1]
            return number
    except OSError as error:
        raise ConfigError(f"port {port} is taken; choose another with --http-port") from error


def _demo_settings(port: int) -> dict[str, str]:
    symbols = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LINK", "DOT")
    return {
        "markets": ",".join(f"kraken:{symbol}-USD" for symbol in symbols),
        "kraken_ws_url": f"ws://127.0.0.1:{port}/v2",
        "kraken_rest_url": f"http://127.0.0.1:{port}",
    }


def _port(file: Path) -> int:
    """Wait for the simulator to write down its port."""
    for _ in range(START_POLLS):
        if file.exists():
            return int(file.read_text("utf-8"))
        time.sleep(POLL_S)
    raise FatalError(f"the simulated exchange did not start, see {file.with_suffix('.log')}")


async def _show(
    console: Console,
    read: Callable[[], Awaitable[Sequence[MarketLine]]],
    now_ms: Callable[[], int],
) -> None:
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                markets = await read()
                live.update(board(markets, INTERVAL, now_ms=now_ms()), refresh=True)
                await asyncio.sleep(REDRAW_S)
    said = ""
    while True:
        if (line := plain(await read())) != said:
            console.print(line, soft_wrap=True)
            said = line
        await asyncio.sleep(REPORT_S)
