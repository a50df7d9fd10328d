"""What callers notice of rollouts in place: the server on one core, callers who ask at a steady rate on the other.

Two kinds of pods: the first, which tries a version in a process of its own before it loads it, and all others. No
version is in memory when it is moved to. A request's time counts from when it was due, so that one that keeps others
waiting is not counted once.
"""

import contextlib
import http.client
import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from benchmarks import models, moves, rounds
from benchmarks.subjects import base, ours

RATE = 850.0
"""Requests a second."""
ROUNDS = 40
REST = 1.0
"""Seconds between two rollouts: what callers see then is what the others are compared with."""
WARM_UP = 3
CALLERS = 4
KINDS: dict[str, dict[str, Any]] = {"the first pod": {"trial": 120}, "every other pod": {}}


@dataclass(frozen=True)
class Noticed:
    """Of one kind of pod; times in milliseconds.

    Attributes:
        kind: Which.
        requests: While rollouts were under way.
        failed: Of all requests, without a good answer.
        share: Of a core that the server used between rollouts.
        seconds: From what was asked to what was live; the median.
        p50: Between rollouts, and in them.
        p99: The same.
    """

    kind: str
    requests: int
    failed: int
    share: float
    seconds: float
    p50: tuple[float, float]
    p99: tuple[float, float]


@dataclass(frozen=True)
class _Asked:
    due: float
    ms: float
    ok: bool


class _Callers:
    """Ask at a steady rate until they are told to stop."""

    def __init__(self, port: int, requests: list[base.Request]) -> None:
        self._port = port
        self._requests = requests
        self._stop = threading.Event()
        self.asked: list[_Asked] = []
        begin = time.monotonic()
        self._threads = [
            threading.Thread(target=self._ask, args=(begin + number / RATE,), daemon=True) for number in range(CALLERS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, begin: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with contextlib.closing(connection):
            for number in itertools.count():
                due = begin + number * CALLERS / RATE
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                request = self._requests[number % len(self._requests)]
                try:
                    connection.request("POST", request.path, request.body, dict(request.headers))
                    response = connection.getresponse()
                    response.read()
                    ok = response.status == http.client.OK
                except (OSError, http.client.HTTPException):
                    connection.close()
                    ok = False
                self.asked.append(_Asked(due, 1000 * (time.monotonic() - due), ok))


def measure(name: str) -> Iterator[Noticed]:
    """What is noticed, of one kind of pod after the other."""
    model = models.open_model(name)
    for kind, told in KINDS.items():
        yield _measured(model, kind, told)


def _measured(model: models.Model, kind: str, told: dict[str, Any]) -> Noticed:
    subject = ours.Following()
    with rounds.ready(subject, model) as (server, port, scratch):
        mover = moves.Moves(server, scratch / "targets")
        under_way: list[tuple[float, float]] = []
        quiet: list[tuple[float, float]] = []
        used = 0.0
        with _Callers(port, [subject.request(model, row) for row in model.rows[:100]]) as callers:
            for number in range(WARM_UP + ROUNDS):
                version = subject.versions[(number + 1) % 2]
                began = time.monotonic()
                mover.move({"path": f"{model.name}/{version}", "version": version} | told)
                live, before = time.monotonic(), server.cpu_seconds()
                time.sleep(REST)
                if number >= WARM_UP:
                    under_way.append((began, live))
                    quiet.append((live, time.monotonic()))
                    used += server.cpu_seconds() - before
    between, during = _times(callers.asked, quiet), _times(callers.asked, under_way)
    return Noticed(
        kind=kind,
        requests=len(during),
        failed=sum(not one.ok for one in callers.asked),
        share=used / sum(end - start for start, end in quiet),
        seconds=statistics.median(end - start for start, end in under_way),
        p50=(statistics.median(between), statistics.median(during)),
        p99=(_p99(between), _p99(during)),
    )


def _times(asked: list[_Asked], spans: list[tuple[float, float]]) -> list[float]:
    return [one.ms for one in asked if any(start <= one.due < end for start, end in spans)]


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]
