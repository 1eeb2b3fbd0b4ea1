import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from chaintide.streams.errors import BadRecordError, RetryableError
from chaintide.streams.feeds.adapter import Request
from chaintide.streams.feeds.breaker import Breaker
from chaintide.streams.feeds.budget import Budget
from chaintide.streams.feeds.rest import HttpRest

REQUEST = Request("/trades", {"pair": "XBTUSD"})


@contextlib.asynccontextmanager
async def venue(*answers: web.Response) -> AsyncIterator[HttpRest]:
    remaining = list(answers)

    async def answer(request: web.Request) -> web.Response:
        assert request.query["pair"] == "XBTUSD"
        return remaining.pop(0)

    app = web.Application()
    app.router.add_get("/trades", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            url = "http://{}:{}".format(*runner.addresses[0])
            yield HttpRest(session, url, Budget(6000), Breaker(), lambda: 0)
    finally:
        await runner.cleanup()


async def test_an_answer_is_returned_as_it_is():
    async with venue(web.Response(body=b"[1.10]")) as rest:
        assert await rest.get(REQUEST) == b"[1.10]"


async def test_too_many_requests_are_repeated_when_the_venue_says():
    async with venue(web.Response(status=429, headers={"Retry-After": "7"})) as rest:
        with pytest.raises(RetryableError) as caught:
            await rest.get(REQUEST)
        assert caught.value.retry_after_s == 7
        assert rest.budget.spend(now_ms=0) == 7000


async def test_a_refusal_is_final_and_no_failure_of_the_venue():
    async with venue(web.Response(status=403, text="not here")) as rest:
        with pytest.raises(BadRecordError, match="403: not here"):
            await rest.get(REQUEST)
        assert rest.breaker.state(now_ms=0) == "closed"


async def test_five_broken_answers_open_the_breaker():
    async with venue(*(web.Response(status=500) for _ in range(5))) as rest:
        for _ in range(5):
            with pytest.raises(RetryableError, match="500"):
                await rest.get(REQUEST)
        with pytest.raises(RetryableError, match="breaker is open"):
            await rest.get(REQUEST)


async def test_an_unreachable_venue_is_asked_again():
    async with venue() as rest:
        rest.base_url = "http://127.0.0.1:1"
        with pytest.raises(RetryableError, match="no answer"):
            await rest.get(REQUEST)
