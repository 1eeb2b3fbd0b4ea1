"""What a gateway answers to whoever watches over it."""

import asyncio
from http import HTTPStatus

import httpx
from sites import pump_of

from chaintide.api.live.limits import Limits
from chaintide.api.sockets import gateway
from chaintide.api.sockets.admission import Admission


async def test_a_gateway_is_alive_at_once_and_ready_when_it_lacks_nothing():
    pump, _, _ = pump_of(gateway.text_frame, Limits())
    lacks = ["still reading", ""]
    address = gateway.Address("127.0.0.1", 0)
    async with (
        asyncio.timeout(60),
        gateway.serving(pump, Admission(), address, lambda: lacks[0]) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        alive = await http.get("/healthz")
        assert (alive.status_code, alive.text) == (HTTPStatus.OK, "ok\n")
        unready = await http.get("/readyz?now")
        assert (unready.status_code, unready.text) == (503, "still reading\n")
        lacks.pop(0)
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.text) == (HTTPStatus.OK, "ready\n")
        assert (await http.get("/else")).status_code == HTTPStatus.NOT_FOUND
