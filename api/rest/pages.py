"""Answers that can never change, kept so that nothing has to be read for them again."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Page:
    """The body of an answer, and its validator."""

    body: bytes
    etag: str


class SettledPages:
    """Pages by what was asked; beyond 32 MiB those that were not asked for longest go.

    >>> pages = SettledPages(max_bytes=3)
    >>> for name in "ab":
    ...     pages.put(name, Page(b"xy", name))
    >>> pages.get("a"), pages.get("b")
    (None, Page(body=b'xy', etag='b'))
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pages: OrderedDict[str, Page] = OrderedDict()

    def get(self, asked: str) -> Page | None:
        """Return the page, or None if it is not kept."""
        page = self._pages.get(asked)
        if page is not None:
            self._pages.move_to_end(asked)
        return page

    def put(self, asked: str, page: Page) -> None:
        """Keep a page that can never change."""
        if asked not in self._pages:
            self._pages[asked] = page
            self._bytes += len(page.body)
        while self._bytes > self._max_bytes:
            _, gone = self._pages.popitem(last=False)
            self._bytes -= len(gone.body)
