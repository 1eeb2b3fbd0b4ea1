"""Keep the broker and the role processes of one machine running."""

import asyncio
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaintide.streams.broker import EmbeddedBroker
from chaintide.streams.child import Child
from chaintide.streams.ending import end_if_told
from chaintide.streams.errors import ChaintideError

CHECK_S = 0.5
STOP_S = 20.0
PROGRAM = (sys.executable, "-m", "chaintide.api.cli")
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S = 60.0


@dataclass(slots=True)
class Role:
    """A process that is started again when it ends; its log is ``<name>.log``."""

    name: str
    arguments: Sequence[str]
    child: Child | None = None
    failures: int = 0
    started_s: float = 0.0
    retry_s: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.child is not None and self.child.is_running

    def note_end(self, *, now_s: float) -> None:
        """Count that it ended, and decide when to start it again."""
        self.failures = 1 if now_s - self.started_s > STEADY_S else self.failures + 1
        self.retry_s = now_s + BACKOFF_S[min(self.failures, len(BACKOFF_S)) - 1]


class Supervisor:
    """Starts roles, restarts those that end, with a growing pause, and stops them all."""

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        broker: EmbeddedBroker | None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._program = program
        self.home = home
        self.environment = dict(environment)
        self._broker = broker
        self.roles: list[Role] = []

    @property
    def broker_pid(self) -> int | None:
        """The process id of the embedded broker, if there is one."""
        return None if self._broker is None else self._broker.pid

    def add(self, name: str, *arguments: str) -> None:
        """Start the program with ``arguments`` under ``name``."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.roles.append(role := Role(name, arguments))
        self._start(role)

    async def restart(self, name: str) -> None:
        """End the role ``name``; it is started again at once, with the environment as it is now."""
        for role in [each for each in self.roles if each.name == name]:
            child, role.child, role.retry_s = role.child, None, math.inf
            if child is not None:
                await asyncio.to_thread(child.stop, STOP_S)
            role.retry_s = 0.0

    async def watch(self, report: Callable[[str], None]) -> None:
        """Restart what ends, until cancelled; ``report`` is told of it."""
        while True:
            await asyncio.sleep(CHECK_S)
            await self._keep_broker(report)
            end_if_told()
            now_s = asyncio.get_running_loop().time()
            for role in self.roles:
                if role.child is not None and not role.child.is_running:
                    role.child.stop(0)
                    role.child = None
                    role.note_end(now_s=now_s)
                    report(f"{role.name} ended, see {self.home / role.name}.log; starting it again")
                elif role.child is None and now_s >= role.retry_s:
                    self._start(role)

    async def _keep_broker(self, report: Callable[[str], None]) -> None:
        if self._broker is not None:
            try:
                await self._broker.start()
            except ChaintideError as error:
                report(f"the broker does not start: {error}; trying again")

    async def stop(self) -> None:
        """End every role, all at once."""
        children = [role.child for role in self.roles if role.child is not None]
        await asyncio.gather(*(asyncio.to_thread(child.stop, STOP_S) for child in children))
        for role in self.roles:
            role.child = None

    def _start(self, role: Role) -> None:
        role.started_s = asyncio.get_running_loop().time()
        role.child = Child(
            [*self._program, *role.arguments],
            output=self.home / f"{role.name}.log",
            environment=self.environment,
        )
