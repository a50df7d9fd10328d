"""What it costs to tell of drift: a server that counts the rows it is sent, beside one that does not.

Windows of load, one after the other: a ratio is taken of two neighbours, and who is first changes with each pair. On a
machine that others use these differ by more than is looked for; so the application is called without a socket, too.
"""

import asyncio
import contextlib
import statistics
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks import models, rounds
from benchmarks.subjects import ours
from modelroll_server import settings
from modelroll_server.app import Answering
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.http.inference_app import InferenceApp
from modelroll_server.registry.target import Content, Target
from modelroll_server.telemetry.metrics import Metrics

CONNECTIONS = (1, 64)
WINDOW_SECONDS = 2
TOGETHER = 64  # requests that are under way at once, within the process
REQUESTS = 3200  # between two looks at the clock


class With(ours.Compiled):
    """As it is by default."""

    name = "modelroll"
    variables: ClassVar[dict[str, str]] = {"DRIFT": "true"}


class Without(ours.Compiled):
    """Nothing is counted."""

    name = "modelroll, no drift"
    variables: ClassVar[dict[str, str]] = {"DRIFT": "false"}


@dataclass(frozen=True)
class Cost:
    """At one number of connections, medians over the pairs.

    Attributes:
        connections: How many.
        rate: Answers a second, with to without.
        cpu: The server's processor time for an answer, the same.
        p99: The same.
        answers: In a second, with it.
    """

    connections: int
    rate: float
    cpu: float
    p99: float
    answers: float


def measure(name: str, pairs: int) -> list[Cost]:
    """The costs, by number of connections."""
    model = models.open_model(name)
    with contextlib.ExitStack() as up:
        servers = [(subject, *up.enter_context(rounds.ready(subject, model))) for subject in (With(), Without())]

        def load(at: int, connections: int) -> tuple[float, float, float]:
            subject, server, port, scratch = servers[at]
            used = server.cpu_seconds()
            found = subject.load(port, model, connections, WINDOW_SECONDS, scratch)
            return found.rate, (server.cpu_seconds() - used) / found.answers, found.latency_ms.p99

        costs = []
        for connections in CONNECTIONS:
            found = []
            for pair in range(pairs):
                order = (0, 1) if pair % 2 else (1, 0)
                numbers = {at: load(at, connections) for at in order}
                found.append((numbers[0], numbers[1]))
            rate, cpu, p99 = (statistics.median(one[at] / other[at] for one, other in found) for at in range(3))
            costs.append(Cost(connections, rate, cpu, p99, statistics.median(one[0] for one, _ in found)))
        return costs


@dataclass(frozen=True)
class Inside:
    """Microseconds of processor time for one request, within the process.

    Attributes:
        counted: The least of all turns, with drift counted.
        not_counted: The same, without.
        ratio: Median over neighbouring turns.
    """

    counted: float
    not_counted: float
    ratio: float


async def measure_inside(name: str, turns: int) -> Inside:
    """The application itself, called by turns with and without."""
    model = models.open_model(name)
    requests = [With().request(model, row).body for row in model.rows]
    applications = [await _application(model, drift=drift) for drift in ("true", "false")]
    found: list[dict[int, float]] = []
    for turn in range(turns):
        order = (0, 1) if turn % 2 else (1, 0)
        found.append({at: await _turn(applications[at], requests) for at in order})
    ratio = statistics.median(one[0] / one[1] for one in found)
    return Inside(min(one[0] for one in found) * 1e6, min(one[1] for one in found) * 1e6, ratio)


async def _application(model: models.Model, *, drift: str) -> InferenceApp:
    told = settings.from_environment({"MODEL_PATH": str(model.compiled), "ARTIFACT_POLICY": "any", "DRIFT": drift})
    metrics = Metrics()
    answering = Answering(told, metrics, metrics, threads=1)
    want = Target("env", 0, Content(None, str(model.compiled), None))
    await answering.candidates.load(want, None)
    await answering.candidates.swap(want)

    async def numbers() -> dict[str, Any]:
        return {}

    return answering.over_http(told, Lifecycle(), numbers, callers=None)


async def _turn(application: InferenceApp, requests: list[bytes]) -> float:
    began = time.thread_time()
    for first in range(0, REQUESTS, TOGETHER):
        bodies = (requests[(first + number) % len(requests)] for number in range(TOGETHER))
        await asyncio.gather(*(_ask(application, body) for body in bodies))
    return (time.thread_time() - began) / REQUESTS


async def _ask(application: InferenceApp, body: bytes) -> None:
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"content-type", b"application/json")]}
    left = [{"type": "http.request", "body": body, "more_body": False}]
    status = []

    async def receive() -> Any:
        return left.pop() if left else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        status.append(message.get("status"))

    await application(scope, receive, send)
    if status[0] != 200:
        raise RuntimeError(f"answered {status[0]}")
