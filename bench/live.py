"""What the WebSocket gateway takes of one core, beside the usual ways to write one.

All servers send the same messages to the same clients: an update of a market is one message in
each of its channels. The clients are bare sockets in this process, on another core.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import msgspec
from gateways.flow import MARKETS, SHAPES
from rig.crowd import HOST, Crowd, Tally
from rig.machine import BENCH, cpu_s, leave_worker_core, rss_bytes, running
from rig.report import report

from chaintide.api.live.limits import Limits

CACHE = Path.home() / ".cache" / "chaintide" / "bench"
WS_VERSION = "8.18.3"
SETTLE_S = 1.5
STALLED = 4  # times as long, for a p99 that can be compared
STALL_S = 6.0  # until all that takes data for a client that does not read is full


@dataclass(frozen=True, slots=True)
class Server:
    """One program to measure; ``paces`` are updates a second and client."""

    name: str
    program: str
    arguments: tuple[str, ...] = ()
    loop: str = "asyncio"
    channels: int = 2
    paces: tuple[float, ...] = (5, 10)
    packages: tuple[str, ...] = ()


SERVERS = {
    server.name: server
    for server in (
        Server("ours", "ours", ("joined",), "uvloop", packages=("chaintide", "websockets")),
        Server("ours_apart", "ours", ("apart",), "uvloop", packages=("chaintide", "websockets")),
        Server("ours_eight", "ours", ("joined",), "uvloop", channels=8, paces=(2,)),
        Server("broadcast", "broadcast", packages=("websockets",)),
        Server("broadcast_uvloop", "broadcast", loop="uvloop", packages=("websockets", "uvloop")),
        Server("fastapi", "fastapi_loop", packages=("fastapi", "uvicorn", "websockets")),
        Server("picows", "picows_loop", packages=("picows",)),
        Server("ws", "ws.cjs"),
        Server("ceiling", "ceiling", paces=(1_000,)),
    )
}


@dataclass(slots=True)
class Result:
    """What one run of a server showed."""

    connect_s: float = 0.0
    connect_cpu_s: float = 0.0
    client_bytes: float = 0.0
    unstalled: Tally | None = None
    stalled: Tally | None = None
    paces: dict[float, tuple[Tally, float]] = field(
        default_factory=dict[float, tuple[Tally, float]]
    )

    def per_cpu_s(self) -> float:
        """Return the deliveries a second of the server's processor time, at the best pace."""
        return max(tally.deliveries / used_s for tally, used_s in self.paces.values())

    def slowdown(self) -> float:
        """Return how many times its p99 the others have beside a client that does not read."""
        if self.stalled is None or self.unstalled is None:
            return 0.0
        return p99(self.stalled.latencies_ms) / p99(self.unstalled.latencies_ms)


def p99(latencies_ms: list[float]) -> float:
    return quantiles(latencies_ms, n=100)[98]


def request(market: str, channels: int) -> bytes:
    """Return a request for the first channels of a market."""
    wanted = [{"ch": shape.format(market), "policy": "buffer"} for shape in SHAPES[:channels]]
    return msgspec.json.encode({"id": 1, "op": "subscribe", "channels": wanted})


def request_all() -> bytes:
    """Return a request for as many channels as one client may have."""
    names = [shape.format(market) for shape in SHAPES[:2] for market in MARKETS]
    wanted = [{"ch": name} for name in names[: Limits().channels]]
    return msgspec.json.encode({"id": 1, "op": "subscribe", "channels": wanted})


def command(server: Server, port: int) -> list[str]:
    """Return how to start a server."""
    program = BENCH / "gateways" / server.program
    if program.suffix == ".cjs":
        return ["node", str(program), str(port), str(server.channels)]
    shared = [server.loop, str(port), str(server.channels), *server.arguments]
    return [sys.executable, f"{program}.py", *shared]


def install_ws() -> bool:
    """Bring npm's ``ws`` if there is a Node; return whether there is."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    if not (CACHE / "node_modules" / "ws").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(CACHE)]
        subprocess.run([*install, f"ws@{WS_VERSION}"], check=True)
    os.environ["NODE_PATH"] = str(CACHE / "node_modules")
    return True


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        return listening.getsockname()[1]


@contextmanager
def started(server: Server) -> Iterator[tuple[subprocess.Popen[bytes], Crowd]]:
    """Run a server; yield it when it listens, with a crowd that is still empty."""
    port = free_port()
    with (
        TemporaryDirectory() as home,
        running(server.name, command(server, port), cwd=Path(home)) as child,
    ):
        for _ in range(200):
            with socket.socket() as attempt:
                if attempt.connect_ex((HOST, port)) == 0:
                    break
            time.sleep(0.05)
        crowd = Crowd(port)
        try:
            yield child, crowd
        finally:
            crowd.close()


def measure(server: Server, clients: int, seconds: float) -> Result:
    """Connect, subscribe, look at the memory, then send at each pace."""
    result = Result()
    with started(server) as (child, crowd):
        requests = [request(market, server.channels) for market in MARKETS]
        crowd.connect(len(MARKETS))  # so that code and channels are not taken for clients
        crowd.subscribe(requests)
        before = rss_bytes(child.pid)
        used_s = cpu_s(child.pid)
        result.connect_s = crowd.connect(clients - len(MARKETS))
        result.connect_cpu_s = cpu_s(child.pid) - used_s
        crowd.subscribe(requests)
        crowd.read(SETTLE_S)
        result.client_bytes = (rss_bytes(child.pid) - before) / (clients - len(MARKETS))
        for pace in server.paces:
            _say(child, f"go {pace}")
            crowd.read(SETTLE_S)
            used_s = cpu_s(child.pid)
            tally = crowd.read(seconds)
            result.paces[pace] = tally, cpu_s(child.pid) - used_s
            _say(child, "stop")
            crowd.read(SETTLE_S)
        if server.name == "ours":
            _say(child, f"go {server.paces[0]}")
            crowd.read(STALL_S)
            result.unstalled = crowd.read(STALLED * seconds)
            crowd.stall(request_all())
            crowd.read(STALL_S)
            result.stalled = crowd.read(STALLED * seconds)
    return result


def _say(child: subprocess.Popen[bytes], line: str) -> None:
    if child.stdin is None:
        raise SystemExit("the server takes no orders")
    child.stdin.write(f"{line}\n".encode())
    child.stdin.flush()


def tell(server: Server, clients: int, results: list[Result], peers: dict[str, float]) -> None:
    """Report the medians of what was measured of one server."""
    shared = {"server": server.name, "clients": clients, "channels": server.channels}
    shared |= {"loop": server.loop, "runs": len(results)}

    def tell_one(figure: str, value: float, unit: str, **more: object) -> None:
        name = f"live.{server.name}.{figure}"
        report(name, value, unit, packages=server.packages, **shared, **more)

    connect_s = median(result.connect_s for result in results)
    used_s = median(result.connect_cpu_s for result in results)
    tell_one("connect", connect_s, "s", per_s=clients / connect_s, cpu_s=used_s)
    client_bytes = median(result.client_bytes for result in results)
    tell_one("memory", client_bytes / 1024, "KiB an idle client")
    for pace in server.paces:
        tallies = [result.paces[pace][0] for result in results]
        used_s = median(result.paces[pace][1] for result in results)
        more = {
            "updates_per_s": pace,
            "delivered_per_s": median(t.deliveries / t.seconds for t in tallies),
            "due_per_s": clients * server.channels * pace,
            "server_share": used_s / tallies[0].seconds,
            "crowd_share": median(tally.share for tally in tallies),
        }
        cuts = [quantiles(tally.latencies_ms, n=100) for tally in tallies]
        for name, place in (("p50", 49), ("p99", 98)):
            value = median(cut[place] for cut in cuts)
            tell_one(name, value, "ms from when it was due to when it was read", **more)
    if results[0].stalled:
        slowdown = median(result.slowdown() for result in results)
        tell_one("stalled", slowdown, "times the p99, beside one client that does not read")
    per_cpu_s = median(result.per_cpu_s() for result in results)
    peers[server.name] = per_cpu_s
    report(
        f"live.{server.name}.deliveries",
        per_cpu_s,
        "messages read by clients a second of the server's processor time",
        ratio={name: per_cpu_s / of for name, of in peers.items() if name != server.name},
        packages=server.packages,
        **shared,
    )


def main(names: list[str], clients: int, seconds: float, runs: int) -> None:
    leave_worker_core()
    peers: dict[str, float] = {}
    for name in names:
        server = SERVERS[name]
        if name == "ws" and not install_ws():
            print("live: no node, no npm, so nothing of ws", file=sys.stderr)
            continue
        tell(server, clients, [measure(server, clients, seconds) for _ in range(runs)], peers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2_000, help="10000 takes some minutes")
    parser.add_argument("--seconds", type=float, default=6, help="at each pace")
    parser.add_argument("--runs", type=int, default=1, help="of which the median is told")
    parser.add_argument("--servers", nargs="*", choices=SERVERS, default=list(SERVERS))
    arguments = parser.parse_args()
    main(arguments.servers, arguments.clients, arguments.seconds, arguments.runs)
