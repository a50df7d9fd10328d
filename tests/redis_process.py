"""A real redis-server (or valkey-server) on a port of its own, to be frozen, killed and started again."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import ports


def command() -> str | None:
    """The server that this machine has."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class RedisProcess:
    """One server, which keeps nothing on disk unless its arguments say so; in these PORT stands for its port."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.port = ports.reserve()
        self._directory = directory
        self._arguments = [one.replace("PORT", str(self.port)) for one in arguments]
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, or start it again, with what is on disk in it."""
        program = command()
        assert program is not None
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory)]
        self._process = subprocess.Popen([program, *fixed, *self._arguments], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(100):
                        return
            except ConnectionResetError:  # by one that speaks TLS alone
                return
            except OSError:
                assert time.monotonic() < end, "redis-server did not start"
                assert self._process.poll() is None, "redis-server ended at once"
                time.sleep(0.01)

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def running(directory: Path, *arguments: str) -> Iterator[RedisProcess]:
    """A server for the time of a block."""
    server = RedisProcess(directory, *arguments)
    try:
        yield server
    finally:
        server.kill()
