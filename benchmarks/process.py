"""A server in a process of its own, on the server's core: started, waited for, frozen, ended."""

import contextlib
import dataclasses
import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks import machine

START_SECONDS = 120.0
END_SECONDS = 20.0
IDLE_SECONDS = 20.0
_LOOK_SECONDS = 0.003
_IDLE_LOOK_SECONDS = 0.1
_IDLE_SHARE = 0.3


class DidNotStart(Exception):
    """The server ended, or was not ready in time; the message has the end of its log."""


@dataclasses.dataclass(frozen=True)
class Ports:
    """Free ports for one server."""

    main: int
    management: int
    grpc: int


@dataclasses.dataclass(frozen=True)
class Command:
    """How a server is started, and where it says that it is ready."""

    words: Sequence[str]
    ready_port: int
    ready_path: str | None
    """None: ready is who takes a connection."""
    environment: Mapping[str, str]


def free_ports() -> Ports:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as held:
        taken = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in dataclasses.fields(Ports)]
        return Ports(*(one.getsockname()[1] for one in taken))


class ServerProcess:
    """One server, its log and its children."""

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self._log = log
        core, _ = machine.cores()
        self.began = time.monotonic()
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                machine.on_core(core, list(command.words)),
                env=dict(command.environment),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def wait_until_ready(self) -> float:
        """Seconds from the start of the process until it said ready.

        Raises:
            DidNotStart: It never did.
        """
        end = self.began + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self._says_ready():
                return time.monotonic() - self.began
            time.sleep(_LOOK_SECONDS)
        raise DidNotStart(f"{' '.join(self.command.words)}\n{self._log.read_text(errors='replace')[-2000:]}")

    def _says_ready(self) -> bool:
        if self.command.ready_path is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.command.ready_port), 5):
                return True
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.command.ready_port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", self.command.ready_path)
            return connection.getresponse().status == 200
        return False

    @property
    def pid(self) -> int:
        """Of the server; taskset has become it."""
        return self._process.pid

    def resident_mib(self) -> float:
        """Resident memory of it and its children; what they share is counted for each."""
        return sum(one.memory_info().rss for one in self._tree()) / 2**20

    def cpu_seconds(self) -> float:
        """Processor time that it and its children have used so far."""
        return sum(one.cpu_times().user + one.cpu_times().system for one in self._tree())

    def wait_until_idle(self) -> None:
        """Let it work off what clients that are gone have left queued: the next load must not wait behind it."""
        end = time.monotonic() + IDLE_SECONDS
        used = self.cpu_seconds()
        while time.monotonic() < end:
            time.sleep(_IDLE_LOOK_SECONDS)
            before, used = used, self.cpu_seconds()
            if used - before < _IDLE_SHARE * _IDLE_LOOK_SECONDS:
                return

    def freeze(self) -> None:
        """Take all time from it: one that waits must not disturb one that is measured."""
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()

    def end(self) -> None:
        """Ask it and its children to leave, and end those that do not."""
        self.thaw()
        tree = self._tree()
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()
        psutil.wait_procs(tree, timeout=END_SECONDS)

    def _tree(self) -> list[psutil.Process]:
        try:
            server = psutil.Process(self._process.pid)
            return [server, *server.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
