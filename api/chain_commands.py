"""The commands of ``chaintide chain``, which import what they need, as all commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from chaintide.api.terminal import err, out, run_until_told, settings_at
from chaintide.api.words import counted


def commands(now_ms: Callable[[], int]) -> typer.Typer:
    """Return the commands; ``now_ms`` is the clock."""
    app = typer.Typer(no_args_is_help=True, help="Histories of contracts, and a local chain.")

    @app.command()
    def sync(
        address: Annotated[str, typer.Argument(help="A contract that the file of chains names.")],
        *,
        chain: Annotated[str, typer.Option(help="The chain, by its name or id.")],
        from_block: Annotated[
            int | None, typer.Option(min=0, help="First block; else that of the file.")
        ] = None,
        to_block: Annotated[
            int | None, typer.Option(min=0, help="Last block; else the last final one.")
        ] = None,
        data_dir: Annotated[
            Path | None, typer.Option(help="Where the embedded Kafka and SQLite keep their data.")
        ] = None,
    ) -> None:
        """Write what is missing of the history of a contract; its chain waits meanwhile."""
        from chaintide.api import chains

        wanted = chains.History(address=address, chain=chain, first=from_block, last=to_block)
        settings = settings_at(data_dir)
        written = run_until_told(chains.sync(settings, wanted, err, now_ms))
        out.print(f"{counted(written, 'log')} written")

    @app.command()
    def simulate(  # noqa: PLR0913  a command has as many options as it needs
        *,
        file: Annotated[Path, typer.Option(help="Where to write what CHAINTIDE_CHAINS needs.")],
        seed: Annotated[int, typer.Option(help="The same seed does the same.")] = 1,
        block_s: Annotated[float, typer.Option(min=0.05, help="Seconds between blocks.")] = 2.0,
        trades: Annotated[float, typer.Option(min=0, help="Trades in a block, on average.")] = 4.0,
        reorg_every: Annotated[
            float, typer.Option(min=0, help="Blocks between reorgs, on average; 0: none.")
        ] = 40.0,
        port: Annotated[int, typer.Option(help="Where to listen on 127.0.0.1; 0: any.")] = 0,
    ) -> None:
        """Open a local chain with our contracts, and people who trade, vote and farm."""
        from chaintide.api.localchain import LocalChain

        chain = LocalChain(
            file=file,
            seed=seed,
            block_s=block_s,
            trades_per_block=trades,
            reorg_every=reorg_every,
            port=port,
        )
        run_until_told(chain.run(now_ms))

    return app
