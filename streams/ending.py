"""Tasks that end when they are told to, whatever swallows the word."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def end_if_told() -> None:
    """Raise ``CancelledError`` if the running task was cancelled and goes on all the same.

    Before Python 3.12 ``asyncio.wait_for`` loses a cancellation that comes together with the
    result, and Kafka's client waits so for every answer. A loop that would then never end asks
    here in each of its rounds.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def ended_within(doing: Coroutine[Any, Any, Any], seconds: float) -> bool:
    """Wait for ``doing``, but no longer than that; return whether it has ended.

    What it raises is raised. It is told to end then, but nobody waits until it does.
    """
    task = asyncio.create_task(doing)
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
        return False
    task.result()
    return True
