"""FastAPI on uvicorn: a set of sockets a channel, and ``send_text`` to one after the other."""

import asyncio
import sys
from collections import defaultdict
from contextlib import suppress

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from chaintide.api.live.update import Update
from gateways.flow import ANSWER, message, names_in, obey, run

app = FastAPI()
channels: dict[str, set[WebSocket]] = defaultdict(set)


@app.websocket("/ws/v1")
async def live(socket: WebSocket) -> None:
    await socket.accept()
    names: list[str] = []
    try:
        with suppress(WebSocketDisconnect):
            while True:
                names += names_in(await socket.receive_text())
                for name in names:
                    channels[name].add(socket)
                await socket.send_text(ANSWER)
    finally:
        for name in names:
            channels[name].discard(socket)


async def publish(updates: list[Update]) -> None:
    for update in updates:
        text = message(update).decode()
        for socket in list(channels[update.channel]):
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_text(text)


async def serve(port: int, count: int) -> None:
    config = uvicorn.Config(
        app,
        port=port,
        backlog=4_096,
        log_level="error",
        lifespan="off",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await obey(publish, count)
    server.should_exit = server.force_exit = True
    await serving


if __name__ == "__main__":
    _, loop, port, count = sys.argv
    run(serve(int(port), int(count)), loop)
