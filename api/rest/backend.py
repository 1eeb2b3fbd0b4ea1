"""What the routes share: state, store, clock, and what was seen of the surroundings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from chaintide.api import naming
from chaintide.api.loading import CandleReader
from chaintide.api.rest.answers import ReadyAnswer
from chaintide.api.rest.pages import SettledPages
from chaintide.api.rest.problems import ProblemError
from chaintide.api.rest.readiness import Surroundings, checks, readiness
from chaintide.api.state.view import View
from chaintide.sinks.forecast_store import Store
from chaintide.streams.records import Market


class Following(Protocol):
    """What keeps the view up to date."""

    epoch: str

    @property
    def lack(self) -> str:
        """Why the view is not up to date, or nothing."""
        ...


@dataclass(slots=True, kw_only=True)
class Backend:
    """Everything a route needs; ``is_loaded`` once the markets of the store are known."""

    view: View
    store: Store
    following: Following
    now_ms: Callable[[], int]
    cursor_key: bytes
    is_loaded: bool = False
    surroundings: Surroundings = field(default_factory=Surroundings)
    pages: SettledPages = field(default_factory=SettledPages)
    reader: CandleReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = CandleReader(self.view, self.store)

    def market(self, name: str) -> Market:
        """Return the market of that name, or that alone is called so.

        Raises:
            ProblemError: If there is none, or nobody can say yet.
        """
        if (found := self.known(name)) in self.view.catalogue:
            return found
        if not self.is_loaded:
            raise ProblemError(503, "the markets are not read yet", retry_after_s=1)
        said = naming.advice(name, self.view.catalogue.names)
        raise ProblemError(404, f"{said}; see /v1/markets")

    def known(self, name: str) -> Market:
        """Return the market that alone is called ``name``, else that name itself."""
        catalogue = self.view.catalogue
        if name in catalogue:
            return Market(name)
        return naming.market_of(name, catalogue.names) or Market(name)

    def readiness(self) -> ReadyAnswer:
        """Return whether there is service, and what is amiss."""
        feeds = self.view.catalogue.feeds(now_ms=self.now_ms())
        looked_at = checks(self.surroundings, self._lack(), feeds)
        return readiness(self.following.epoch, looked_at)

    def _lack(self) -> str:
        return self.following.lack if self.is_loaded else "the store is not read yet"
