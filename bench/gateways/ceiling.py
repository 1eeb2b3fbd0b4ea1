"""No WebSocket server at all: one prepared frame, written to every socket as fast as it goes.

It shows what the kernel takes for a write, and how much the crowd can read.
"""

import socket
import sys
import time
from contextlib import suppress
from select import EPOLLIN, epoll

from chaintide.api.sockets.gateway import text_frame
from gateways.flow import ANSWER, MARKETS, Flow, message

UPGRADE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Ceiling:
    """All sockets, and whether to write to them."""

    def __init__(self, port: int, channels: int) -> None:
        self.listening = socket.create_server(("127.0.0.1", port), backlog=4_096)
        self.listening.settimeout(0)
        self.clients: dict[int, socket.socket] = {}
        self.events = epoll()
        self.events.register(self.listening, EPOLLIN)
        self.events.register(sys.stdin, EPOLLIN)
        self.is_running = False
        [update, *_] = Flow(channels).updates(MARKETS[0], time.time_ns() // 1000)
        self.frame = text_frame(message(update))

    def run(self) -> None:
        """Go on until standard input ends."""
        while True:
            for number, _ in self.events.poll(0 if self.is_running else -1):
                if number == self.listening.fileno():
                    self._accept()
                elif number in self.clients:
                    self._answer(self.clients[number])
                elif not self._obey():
                    return
            if self.is_running:
                self._write()

    def _obey(self) -> bool:
        line = sys.stdin.readline()
        self.is_running = line.startswith("go")
        return bool(line)

    def _accept(self) -> None:
        client, _ = self.listening.accept()
        client.settimeout(0)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients[client.fileno()] = client
        self.events.register(client, EPOLLIN)

    def _answer(self, client: socket.socket) -> None:
        data = b""
        with suppress(ConnectionError):
            data = client.recv(4_096)
        if not data:
            self.events.unregister(client)
            del self.clients[client.fileno()]
            client.close()
        elif data.startswith(b"GET"):
            client.send(UPGRADE)
        else:
            client.send(text_frame(ANSWER.encode()))

    def _write(self) -> None:
        frame = self.frame
        for client in self.clients.values():
            with suppress(BlockingIOError, ConnectionError):
                client.send(frame)


if __name__ == "__main__":
    _, _loop, port, channels = sys.argv
    Ceiling(int(port), int(channels)).run()
