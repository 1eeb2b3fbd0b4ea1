"""The routes of the live page: its own files, and the chart library once it is there."""

import asyncio
import hashlib
import logging
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response

from chaintide.dashboards import assets
from chaintide.streams.errors import ChaintideError

logger = logging.getLogger(__name__)

PAGE: Final = Path(__file__).parent / "page"
JAVASCRIPT: Final = "text/javascript; charset=utf-8"
RETRY_S: Final = 30.0


class LibraryState(msgspec.Struct, frozen=True):
    """Whether the chart library is ``ready``, still ``fetching``, or ``failed`` and why."""

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is served."""

    body: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """Its validator."""
        return f'W/"{hashlib.sha256(self.body).hexdigest()[:16]}"'


class Site:
    """The page and its library, which ``fetch`` brings; ``router`` serves both."""

    def __init__(self, fetch: Callable[[], Path] = assets.chart_library) -> None:
        self._fetch = fetch
        self._files = {path.name: _file(path) for path in PAGE.iterdir() if path.is_file()}
        self._library: File | None = None
        self.library = LibraryState("fetching")
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/", self._index)
        self.router.add_api_route("/assets/page/{name}", self._asset)
        self.router.add_api_route("/assets/library", self._state)
        self.router.add_api_route("/assets/library.mjs", self._bundle)

    async def bring_library(self) -> None:
        """Fetch the library; where that fails say why, and try again every half a minute."""
        while self._library is None:
            try:
                path = await asyncio.to_thread(self._fetch)
                self._library = File(await asyncio.to_thread(path.read_bytes), JAVASCRIPT)
                self.library = LibraryState("ready")
            except (ChaintideError, OSError) as error:
                self.library = LibraryState("failed", str(error))
                logger.warning("no chart library reason=%s", error)
                await asyncio.sleep(RETRY_S)

    async def _index(self, request: Request) -> Response:
        return _answer(request, self._files["index.html"])

    async def _asset(self, request: Request, name: str) -> Response:
        if name not in self._files:
            raise HTTPException(404)
        return _answer(request, self._files[name])

    async def _state(self) -> Response:
        body = msgspec.json.encode(self.library)
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def _bundle(self, request: Request) -> Response:
        if self._library is None:
            raise HTTPException(503, self.library.reason or "the chart library is being fetched")
        return _answer(request, self._library)


def _file(path: Path) -> File:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix in {".js", ".mjs"}:
        return File(path.read_bytes(), JAVASCRIPT)
    return File(path.read_bytes(), f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)


def _answer(request: Request, file: File) -> Response:
    headers = {"Cache-Control": "no-cache", "ETag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.media_type)
