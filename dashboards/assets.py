"""The chart library of the live page, fetched once from npm."""

from pathlib import Path
from typing import Final

from rich.console import Console

from chaintide.contracts.npm import NpmError, installed
from chaintide.streams.errors import ConfigError

LIBRARY_VERSION: Final = "5.2.1"
BUNDLE: Final = Path("lightweight-charts/dist/lightweight-charts.standalone.production.mjs")
_PLAN: Final = Path(__file__).parent / "library"


def chart_library() -> Path:
    """Return the chart library as one JavaScript module; the first call ever downloads it (2 MB).

    Raises:
        ConfigError: If npm's registry cannot be reached or the cache cannot be written.
    """
    try:
        return installed(_PLAN, f"lightweight-charts-{LIBRARY_VERSION}") / BUNDLE
    except NpmError as error:
        raise ConfigError(str(error)) from error


def main() -> None:
    """Fetch the library now, or print why not: the rest works without it."""
    try:
        chart_library()
    except ConfigError as error:
        Console(stderr=True).print(str(error), soft_wrap=True)


if __name__ == "__main__":
    main()
