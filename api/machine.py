"""Everything on one machine: the broker, the roles as processes, and what a person sees."""

import asyncio
import fcntl
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from chaintide.api import roles
from chaintide.api.board import board, lines, plain
from chaintide.api.demochain import CHAINS, DemoChain
from chaintide.api.names import follow_names
from chaintide.api.replay import Replay, Replayed, progress_bar
from chaintide.api.settings import Settings
from chaintide.api.supervisor import Supervisor
from chaintide.sinks.candle_store import CandleStore
from chaintide.streams.chain.chainfile import read_chains
from chaintide.streams.errors import ConfigError, FatalError
from chaintide.streams.intervals import Interval
from chaintide.streams.kafka import KafkaConfig

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
    console.print(f"page http://127.0.0.1:{port}/")
    running_all = running(settings, plan.workers, console.print, has_extras=True)
    async with running_all as (kafka, supervisor):
        console.print(f"Kafka {kafka.bootstrap} · data {settings.data_dir}")
        supervisor.add("serve", "serve", "--port", str(port))
        if plan.demo:
            ports = settings.data_dir / "logs" / "simulator.port"
            ports.unlink(missing_ok=True)
            supervisor.add("simulator", "simulate", "--port-file", str(ports.absolute()))
            exchange = await asyncio.to_thread(_port, ports)
            console.print(f"simulated exchange http://127.0.0.1:{exchange}, Kraken's protocol")
            supervisor.environment |= _demo_environment(exchange)
        supervisor.add("ingest", "ingest")
        if settings.chains is not None and not plan.demo:
            chains = [chain.name for chain in read_chains(settings.chains)]
            supervisor.add(
                CHAINS, "ingest", *(word for name in chains for word in ("--chain", name))
            )
        console.print(f"API http://127.0.0.1:{port}/v1/markets, is all well: /readyz")
        names: dict[str, str] = {}
        beside = [follow_names(kafka, names)]
        if plan.demo:
            chain = DemoChain(settings.data_dir / "chain", supervisor, console.print)
            beside.append(chain.keep())
        async with roles.store(settings) as store, _beside(*beside):
            with suppress(TimeoutError):
                async with asyncio.timeout(plan.seconds or None):
                    await _show(console, store, names, now_ms)


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


def _demo_environment(port: int) -> dict[str, str]:
    symbols = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LINK", "DOT")
    return {
        "CHAINTIDE_MARKETS": ",".join(f"kraken:{symbol}-USD" for symbol in symbols),
        "CHAINTIDE_KRAKEN_WS_URL": f"ws://127.0.0.1:{port}/v2",
        "CHAINTIDE_KRAKEN_REST_URL": f"http://127.0.0.1:{port}",
    }


def _port(file: Path) -> int:
    """Wait for the simulator to write down its port."""
    for _ in range(START_POLLS):
        if file.exists():
            return int(file.read_text("utf-8"))
        time.sleep(POLL_S)
    raise FatalError(f"the simulated exchange did not start, see {file.with_suffix('.log')}")


async def _show(
    console: Console, store: CandleStore, names: Mapping[str, str], now_ms: Callable[[], int]
) -> None:
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                markets = await lines(store, INTERVAL, names)
                live.update(board(markets, INTERVAL, now_ms=now_ms()), refresh=True)
                await asyncio.sleep(REDRAW_S)
    while True:
        console.print(plain(await lines(store, INTERVAL, names)))
        await asyncio.sleep(REPORT_S)
