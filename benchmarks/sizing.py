"""What a request costs at rates that leave the server time to rest: the figures of docs/sizing.md.

At its limit a server computes many rows at once and never waits, so that a request costs least. Sized for that, pods
would be too few. Callers keep 64 connections, and each rests at random before each request.
"""

import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks import models, rounds, wrk
from benchmarks.subjects import ours

CONNECTIONS = 64
RATES = (100, 300, 1_000, 3_000, 10_000)
"""Requests a second that are asked for; fewer come about where the server is the limit."""
SECONDS = 2.0
ROUNDS = 3
IDLE_SECONDS = 4.0


@dataclass(frozen=True)
class Cost:
    """Of one request at one rate; medians over the rounds.

    Attributes:
        rate: Requests a second that came about.
        microseconds: Of processor time.
    """

    rate: float
    microseconds: float


@dataclass(frozen=True)
class Sized:
    """One model, one way of serving it.

    Attributes:
        model: Its name.
        subject: How it is served.
        idle: Share of a core while nobody asks.
        costs: By RATES.
        mib: Resident after all of it, with gRPC on.
    """

    model: str
    subject: str
    idle: float
    costs: tuple[Cost, ...]
    mib: float


def measure(names: Iterable[str]) -> Iterator[Sized]:
    """All of those models, compiled and not."""
    for name in names:
        model = models.open_model(name)
        for subject in (ours.Compiled(), ours.Modelroll()):
            yield _measured(subject, model)


def _measured(subject: ours.Modelroll, model: models.Model) -> Sized:
    with rounds.ready(subject, model) as (server, port, scratch):
        file = scratch / "requests"
        wrk.write_requests(file, (subject.request(model, row).on_the_wire() for row in model.rows))
        server.wait_until_idle()
        used = server.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        idle = (server.cpu_seconds() - used) / IDLE_SECONDS
        costs = []
        for rate in RATES:
            found = []
            for _ in range(ROUNDS):
                used = server.cpu_seconds()
                load = wrk.run(port, file, CONNECTIONS, SECONDS, rest=round(1000 * CONNECTIONS / rate))
                used = server.cpu_seconds() - used
                found.append((load.answers / load.seconds, 1e6 * used / load.answers))
                server.wait_until_idle()
            middle = (statistics.median(each) for each in zip(*found, strict=True))
            costs.append(Cost(*middle))
        return Sized(model.name, subject.name, idle, tuple(costs), server.resident_mib())
