"""A real `modelroll serve` in a process of its own, on free ports, and clients that check every answer."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import httpx

STARTUP_SECONDS = 60.0
COMMAND = (sys.executable, "-m", "modelroll_server", "serve")
T = TypeVar("T")


class ServerProcess:
    """One server. Its ports are free ones, read from its log."""

    command: tuple[str, ...] = COMMAND

    def __init__(self, log: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        # One for all: to read the certificates of the system takes longer than an answer.
        self._client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=STARTUP_SECONDS)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MODEL_", "TARGET_"))}
        fixed = {"HOST": "127.0.0.1", "PORT": "0", "MANAGEMENT_PORT": "0", "GRPC_PORT": "off", "LOG_FORMAT": "json"}
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*self.command, *arguments],
                env={**inherited, **fixed, **(environment or {})},
                stdout=file,
                stderr=file,
            )
        line = self.wait_for(lambda: next((one for one in self.lines() if one.get("event") == "listening"), None))
        self.port, self.management_port = line.get("port", 0), line["management_port"]
        self.scheme = line.get("docs", "http").partition(":")[0]

    @property
    def url(self) -> str:
        """Where predictions are."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, Any]]:
        """What it logged so far. A line may be there in part: how far a file was written is told page by page."""
        whole, _, _ = self.log.read_text(errors="replace").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def status(self) -> dict[str, Any]:
        """Its `/status`."""
        document: dict[str, Any] = self.get("/status").json()
        return document

    def get(self, path: str) -> httpx.Response:
        """What its management port answers."""
        return self._client.get(f"http://127.0.0.1:{self.management_port}{path}")

    def wait_for(self, what: Callable[[], T | None], seconds: float = STARTUP_SECONDS) -> T:
        """Look until there is something, or fail with the log."""
        end = time.monotonic() + seconds
        is_last = False
        while not is_last:
            # Before the look, which sees everything that it did until it ended.
            is_last = self.process.poll() is not None or time.monotonic() > end
            if (found := what()) is not None:
                return found
            time.sleep(0.02)
        raise AssertionError(f"it did not happen; exit code {self.process.poll()}\n{self.log.read_text()}")

    def wait_for_status(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look until `/status` is as wanted."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if wanted(status) else None

        return self.wait_for(look)

    def wait_for_live(self, version: str, revision: int | None = None) -> dict[str, Any]:
        """Look until that version is live, at that revision."""

        def is_live(status: dict[str, Any]) -> bool:
            live = status["live"]
            return live is not None and live["version"] == version and revision in {None, live["revision"]}

        return self.wait_for_status(is_live)

    def end(self) -> int:
        """Ask it to leave, and say how it left."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STARTUP_SECONDS)


@contextlib.contextmanager
def serving(log: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[ServerProcess]:
    """A server for the time of a block."""
    server = ServerProcess(log, *arguments, environment=environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@dataclass
class Load:
    """What the checking clients saw: answers by version, and everything that was not right, with when it was asked."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[float, str]] = field(default_factory=list)
    ended: bool = False


@contextlib.asynccontextmanager
async def under_load(
    url: str,
    row: Mapping[str, Any],
    expected: Mapping[str, tuple[Any, list[float]]],
    clients: int = 6,
    *,
    goes_on: bool = False,
    tls: ssl.SSLContext | None = None,
    token: Callable[[], str] = str,
) -> AsyncIterator[Load]:
    """Clients that ask for the same row all the time, half of them with a connection per request.

    Args:
        url: Where predictions are.
        row: What they ask.
        expected: The right answer by version: label and probabilities.
        clients: How many.
        goes_on: Whether a client whose connection broke makes another.
        tls: What it trusts; None: what the system does.
        token: What each request shows; empty: none.
    """
    load = Load()

    async def client(*, keep_alive: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not keep_alive, ssl=tls or True)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not load.ended:
                began = time.monotonic()
                try:
                    headers = {"Authorization": f"Bearer {shown}"} if (shown := token()) else {}
                    async with session.post(f"{url}/predict", json=row, headers=headers) as response:
                        said = _wrong(load, response.status, await response.json(), expected)
                    if said is not None:
                        load.wrong.append((began, said))
                except (aiohttp.ClientError, OSError) as error:
                    if not load.ended:
                        load.wrong.append((began, repr(error)))
                    if not goes_on:
                        return
                await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(client(keep_alive=number % 2 == 0)) for number in range(clients)]
    try:
        yield load
    finally:
        load.ended = True
        await asyncio.gather(*tasks)


def _wrong(load: Load, status: int, answer: Any, expected: Mapping[str, tuple[Any, list[float]]]) -> str | None:
    version = answer.get("model_version")
    if status != 200 or version not in expected:
        return f"{status}: {answer}"
    load.answers[version] += 1
    label, probability = expected[version]
    close = all(abs(one - other) < 1e-9 for one, other in zip(answer["probability"], probability, strict=True))
    return None if answer["prediction"] == label and close else f"{version} answered {answer}"
