"""The command line: the outermost shell, where the clock is read.

What only one command needs is imported there: with `up` every role is a process that starts, and
none of them should wait for the libraries of the others.
"""

import asyncio
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from chaintide.api import chain_commands, listing, names, naming, role_commands, roles, running
from chaintide.api.backtest import backtest
from chaintide.api.role_commands import DataDir, Instance
from chaintide.api.settings import Settings
from chaintide.api.terminal import err, out, run_until_told, settings_at, settings_in_use
from chaintide.api.words import counted
from chaintide.streams.intervals import Interval

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=(
        "Real-time streaming analytics: venue trades through Kafka and Faust into exact candles."
    ),
)
MARKET_HELP = "venue:SYMBOL, as in kraken:BTC-USD, or the name that is shown."
# A clock that goes on while a machine sleeps, where there is one.
_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BOOTED_NS = time.time_ns() - time.clock_gettime_ns(_STEADY)

Workers = Annotated[int, typer.Option(min=1, help="How many workers share the partitions.")]


def now_ms() -> int:
    """Return the wall clock; nothing below this file may call it."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Return the time since the Unix epoch by a clock that nobody can set; it never goes back."""
    return (_BOOTED_NS + time.clock_gettime_ns(_STEADY)) // 1_000_000


def now_us() -> int:
    """Return the wall clock in microseconds."""
    return time.time_ns() // 1_000


@app.command()
def up(
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Trade against a simulated exchange, no internet needed.")
    ] = False,
    data_dir: DataDir = None,
    http_port: Annotated[int, typer.Option(help="Where the page and the API are; 0: any.")] = 8321,
    workers: Workers = 1,
    seconds: Annotated[float, typer.Option(help="Stop after so long; 0: run on.")] = 0,
) -> None:
    """Run everything on this machine and show the markets."""
    from chaintide.api import machine

    settings = settings_at(data_dir)
    if demo and data_dir is None:  # simulated trades are kept apart from real ones
        settings = settings.model_copy(update={"data_dir": settings.data_dir / "demo"})
    plan = machine.Plan(demo=demo, workers=workers, http_port=http_port, seconds=seconds)
    run_until_told(machine.up(settings, plan, now_ms))


@app.command()
def ingest(
    *,
    chain: Annotated[
        list[str] | None, typer.Option(help="Follow this chain, by its name or id; repeatable.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Read the configured venues into Kafka, or with --chain the chains."""
    settings = settings_at(data_dir)
    if chain:
        from chaintide.api import chains

        run_until_told(chains.follow(settings, chain, now_ms))
        return
    from chaintide.api import venues
    from chaintide.streams.feeds.ingest import ingest as run_feeds

    async def run() -> None:
        async with roles.kafka(settings) as (kafka, _):
            await run_feeds(
                kafka.client_options(),
                venues.configs(settings),
                partitions=settings.partitions,
                now_ms=now_ms,
                statuses={},
            )

    run_until_told(run())


@app.command()
def sink(*, data_dir: DataDir = None, instance: Instance = "s1") -> None:
    """Store candles, predictions, scores and anomalies in InfluxDB or SQLite."""
    from chaintide.sinks.runner import run_sink

    settings = settings_at(data_dir)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with roles.kafka(settings) as (kafka, _), roles.store(settings) as store:
            await run_sink(
                kafka.client_options(),
                store,
                group=roles.SINKS_GROUP,
                instance_id=instance,
                stop=stop,
            )

    run_until_told(run())


@app.command()
def serve(
    *,
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(help="Where to listen; 0: any.")] = 8321,
) -> None:
    """Serve the page, REST and WebSocket: candles, trades, tickers, health."""
    from chaintide.api import server as serving

    settings = settings_at(data_dir)
    listening = _listening(settings, port, "http://{}:{}")
    run_until_told(serving.serve(settings, listening, now_ms, steady_ms=steady_ms))


@app.command()
def gateway(
    *,
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(help="Where to listen, several together; 0: any.")] = 8322,
) -> None:
    """Serve WebSocket clients alone, ten thousand and more."""
    from chaintide.api import gateway as gate

    settings = settings_at(data_dir)
    listening = _listening(settings, port, "ws://{}:{}/ws/v1")
    run_until_told(gate.run_gateway(settings, listening, now_ms, steady_ms=steady_ms))


@app.command()
def simulate(
    *,
    port: Annotated[int, typer.Option(help="Where to listen on 127.0.0.1; 0: any.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed trades the same.")] = 1,
    rate: Annotated[float, typer.Option(help="Trades a second for each market.")] = 2.0,
    port_file: Annotated[Path | None, typer.Option(help="Where to write the port.")] = None,
) -> None:
    """Open a local exchange that speaks Kraken's protocol, with a fault switchboard."""
    from chaintide.streams.simulator import server
    from chaintide.streams.simulator.exchange import Settings as ExchangeSettings

    def announce(number: int) -> None:
        out.print(f"http://127.0.0.1:{number}")
        if port_file is not None:
            draft = port_file.with_suffix(".new")
            draft.write_text(str(number), "utf-8")
            draft.replace(port_file)

    settings = ExchangeSettings(seed=seed, rate=rate)
    run_until_told(server.run(settings, now_us=now_us, port=port, announce=announce))


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...")],
    *,
    data_dir: DataDir = None,
    speed: Annotated[
        float | None, typer.Option(min=1e-3, help="Event time per running time; else full speed.")
    ] = None,
    workers: Workers = 1,
) -> None:
    """Replay recorded trades (market,trade_id,time_us,price,size,side[,trader]) into the store."""
    from chaintide.api import machine

    settings = settings_at(data_dir)
    result = run_until_told(
        machine.replay(settings, files, speed=speed, workers=workers, now_ms=now_ms)
    )
    out.print(f"{counted(result.trades, 'trade')} replayed")
    if result.refused:
        err.print(
            f"{result.refused} messages held trades too late or impossible, or repeated ones of a "
            "candle that is final: see the topics chaintide.late.v1 and chaintide.dead-letters.v1",
            soft_wrap=True,
        )
    for path, count in result.rejects.items():
        err.print(f"{count} bad lines, see {path}", soft_wrap=True)
    if not result.trades:
        raise typer.Exit(1)


@app.command()
def candles(  # noqa: PLR0913  a command has as many options as it needs
    market: Annotated[str, typer.Argument(help=MARKET_HELP)],
    *,
    interval: Annotated[Interval, typer.Option(help="Length of a candle.")] = "1m",
    data_dir: DataDir = None,
    fmt: Annotated[listing.Format, typer.Option("--format", help="What to print.")] = "table",
    start: Annotated[str | None, typer.Option(help="First open time: ISO 8601 or ms.")] = None,
    end: Annotated[str | None, typer.Option(help="Open times before this one.")] = None,
) -> None:
    """Print the candles of a market from the store."""
    settings, _ = settings_in_use(data_dir)
    start_ms, end_ms = listing.moment(start), listing.moment(end)

    async def run() -> int:
        async with roles.store(settings) as store:
            called = names.read_names(settings.data_dir)
            called = {one: called.get(one, one) for one in await store.markets()}
            if (meant := naming.market_of(market, called)) is None:
                said = naming.advice(market, called)
                held = f"the store in {settings.data_dir} has {counted(len(called), 'market')}"
                err.print(f"{said} ({held}; for another, --data-dir)", soft_wrap=True)
                return 1
            found = await store.candles(meant, interval, start_ms, end_ms)
        listing.show(found, fmt)
        return 0

    raise typer.Exit(run_until_told(run()))


@app.command()
def doctor(*, data_dir: DataDir = None) -> None:
    """Say what is configured and reachable, and what to do about the rest."""
    from chaintide.api import doctor as examination

    table, is_fine = run_until_told(examination.table(*settings_in_use(data_dir)))
    out.print(table)
    raise typer.Exit(0 if is_fine else 1)


@app.command()
def watch(
    market: Annotated[str, typer.Argument(help=MARKET_HELP)],
    *,
    interval: Annotated[Interval, typer.Option(help="Length of a candle.")] = "1m",
    url: Annotated[
        str | None, typer.Option(help="The WebSocket to listen to; else that of what runs here.")
    ] = None,
) -> None:
    """Show the newest candles of a market as they change."""
    from chaintide.api import viewer

    run_until_told(viewer.watch(url or running.socket_url(), market, interval, out))


def _listening(settings: Settings, port: int, address: str) -> roles.Listening:
    """Listen at ``port``; once it is known, print ``address`` and log as JSON from then on."""
    from chaintide.api import logs

    def announce(number: int) -> None:
        logs.log_as_json(settings.log_level)
        out.print(address.format(settings.http_host, number))

    return roles.Listening(port=port, announce=announce)


app.command()(backtest)
role_commands.add(app, now_ms)
app.add_typer(chain_commands.commands(now_ms), name="chain")


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
