"""picows' core interface: a set of transports a channel, and ``send`` to one after the other."""

import sys
from collections import defaultdict

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from chaintide.api.live.update import Update
from gateways.flow import ANSWER, message, names_in, obey, run

channels: dict[str, set[WSTransport]] = defaultdict(set)


class Client(WSListener):
    def __init__(self) -> None:
        self.names: list[str] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            self.names += names_in(frame.get_payload_as_bytes())
            for name in self.names:
                channels[name].add(transport)
            transport.send(WSMsgType.TEXT, ANSWER.encode())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for name in self.names:
            channels[name].discard(transport)


def accept(_request: WSUpgradeRequest) -> Client:
    return Client()


async def publish(updates: list[Update]) -> None:
    for update in updates:
        data = message(update)
        for transport in channels[update.channel]:
            transport.send(WSMsgType.TEXT, data)


async def serve(port: int, count: int) -> None:
    server = await ws_create_server(accept, "127.0.0.1", port, backlog=4_096)
    await obey(publish, count)
    server.close()


if __name__ == "__main__":
    _, loop, port, count = sys.argv
    run(serve(int(port), int(count)), loop)
