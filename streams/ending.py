"""Tasks that end when they are told to, whatever swallows the word."""

import asyncio


def end_if_told() -> None:
    """Raise ``CancelledError`` if the running task was cancelled and goes on all the same.

    Before Python 3.12 ``asyncio.wait_for`` loses a cancellation that comes together with the
    result, and Kafka's client waits so for every answer. A loop that would then never end asks
    here in each of its rounds.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
