"""Whether a server of ours answers, and what it says of itself."""

import asyncio
from typing import Final

import aiohttp

LOOK_S: Final = 0.2
PATIENCE_S: Final = 5.0


async def until_answering(url: str) -> None:
    """Return once the server at ``url`` knows its markets."""
    patience = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=patience) as session:
        while not await _answers(session, f"{url}/v1/markets"):  # noqa: ASYNC110  it is a process
            await asyncio.sleep(LOOK_S)


async def amiss(url: str) -> str:
    """Return what the server at ``url`` says is amiss, or nothing."""
    patience = aiohttp.ClientTimeout(total=PATIENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=patience) as session,
            session.get(f"{url}/readyz") as answer,
        ):
            checks = (await answer.json())["checks"]
            return "; ".join(
                f"{one['name']}: {one['reason']}" for one in checks if not one["is_ok"]
            )
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
        return str(error) or "no answer"


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
