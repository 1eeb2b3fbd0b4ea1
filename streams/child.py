"""A child process that never outlives its parent."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

# Ends the child when our end of this pipe closes, which no death of ours can prevent.
# At once, because a child that is half-way through a clean stop would still look alive to others.
_GUARD: Final = 'read -r _; kill -9 "$0"'


class Child:
    """A running command, in a session of its own so that Ctrl-C reaches only us."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if output.exists():  # what the last one said is worth keeping once
            output.replace(output.with_suffix(".previous.log"))
        with output.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - no shell, our own arguments
                command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(  # noqa: S603 - a constant and a number
            ["/bin/sh", "-c", _GUARD, str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id of the command."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._process.poll() is None

    def stop(self, timeout_s: float) -> None:
        """End the command: ask it to, and after ``timeout_s`` kill it; repeatable."""
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._guard.kill()
        self._guard.communicate()
