"""Ten thousand clients in one thread: bare sockets, which count what comes and read a sample."""

import re
import socket
import struct
import time
from dataclasses import dataclass, field
from select import EPOLLIN, EPOLLOUT, epoll

HOST = "127.0.0.1"
UNDER_WAY = 256  # handshakes at once
SAMPLE = 19  # one client in so many is timed; no divisor of the number of markets
READ_BYTES = 1 << 16
LINGER = struct.pack("ii", 1, 0)
PING, PONG = b"\x89\x00", b"\x8a\x80\x00\x00\x00\x00"
_DUE_US = re.compile(rb'"t_us":(\d{16})')
UPGRADE = (
    "GET /ws/v1 HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(slots=True)
class Tally:
    """What came in ``seconds``; ``share`` is how busy the crowd's own core was with it."""

    seconds: float = 0.0
    share: float = 0.0
    deliveries: int = 0
    latencies_ms: list[float] = field(default_factory=list[float])


class Crowd:
    """Clients of one server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._clients: dict[int, socket.socket] = {}
        self._sample: set[int] = set()
        self._stalled: list[socket.socket] = []
        self._subscribed = 0
        self._events = epoll()

    def connect(self, count: int, timeout_s: float = 60) -> float:
        """Connect and upgrade ``count`` clients more; return the seconds that took."""
        start_s = time.perf_counter()
        request = UPGRADE.format(host=HOST, port=self.port).encode()
        begun = done = 0
        while done < count:
            while begun < count and begun - done < UNDER_WAY:
                self._begin()
                begun += 1
            for number, event in self._events.poll(1):
                if event & EPOLLIN:
                    done += self._takes(number, b"101 Switching")
                elif event & EPOLLOUT:
                    self._clients[number].send(request)
                    self._events.modify(number, EPOLLIN)
            if time.perf_counter() - start_s > timeout_s:
                raise SystemExit(f"{done} of {count} clients are connected after {timeout_s} s")
        return time.perf_counter() - start_s

    def subscribe(self, requests: list[bytes], timeout_s: float = 60) -> None:
        """Send to each new client the next of these requests, in turn; await all answers."""
        end_s = time.perf_counter() + timeout_s
        clients = list(self._clients.values())
        for first in range(self._subscribed, len(clients), UNDER_WAY):
            some = clients[first : first + UNDER_WAY]
            for place, client in enumerate(some, first):
                client.send(_masked(requests[place % len(requests)]))
            left = {client.fileno() for client in some}
            while left:
                for number, _ in self._events.poll(1):
                    if self._takes(number, b'"ok":true'):
                        left.discard(number)
                if time.perf_counter() > end_s:
                    raise SystemExit(f"{len(left)} clients were not answered")
        self._subscribed = len(clients)

    def read(self, seconds: float) -> Tally:
        """Count messages for some time, and time those of the sample."""
        tally, clients, sample = Tally(), self._clients, self._sample
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        while (now_s := time.perf_counter()) < start_s + seconds:
            for number, _ in self._events.poll(start_s + seconds - now_s):
                data = clients[number].recv(READ_BYTES)
                if not data:
                    raise SystemExit("the server has closed a connection")
                tally.deliveries += data.count(b'"tp":')
                if number in sample:
                    now_us = time.time_ns() // 1000
                    tally.latencies_ms += [
                        (now_us - int(due_us)) / 1000 for due_us in _DUE_US.findall(data)
                    ]
                if PING in data:
                    clients[number].send(PONG)
        tally.seconds = time.perf_counter() - start_s
        tally.share = (time.process_time() - start_cpu_s) / tally.seconds
        return tally

    def stall(self, request: bytes) -> None:
        """Add one client that asks for much and never reads."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        client.connect((HOST, self.port))
        client.sendall(UPGRADE.format(host=HOST, port=self.port).encode())
        client.recv(READ_BYTES)
        client.sendall(_masked(request))
        self._stalled.append(client)

    def close(self) -> None:
        """Cut all lines."""
        for client in (*self._clients.values(), *self._stalled):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            client.close()
        self._clients.clear()
        self._events.close()

    def _begin(self) -> None:
        client = socket.socket()
        client.settimeout(0)
        number = client.fileno()
        if not len(self._clients) % SAMPLE:
            self._sample.add(number)
        self._clients[number] = client
        self._events.register(number, EPOLLOUT)
        client.connect_ex((HOST, self.port))

    def _takes(self, number: int, wanted: bytes) -> bool:
        data = self._clients[number].recv(READ_BYTES)
        if wanted in data:
            return True
        if PING in data:
            self._clients[number].send(PONG)
        elif b'"type":"hb"' not in data:
            raise SystemExit(f"the server said {data[:200]!r}")
        return False


def _masked(text: bytes) -> bytes:
    size = len(text)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + text  # a mask of zeros changes nothing
