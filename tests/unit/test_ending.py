"""A cancellation that something swallows ends a task all the same."""

import asyncio
import contextlib

import pytest

from chaintide.streams.ending import end_if_told


async def test_a_task_that_lost_the_word_ends_in_its_next_round():
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        while True:
            end_if_told()
            rounds += 1
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rounds == 1


async def test_a_task_that_nobody_cancelled_goes_on():
    end_if_told()
