"""Who is measured when: all subjects of a model are up, and each gets its turn in every round, alone.

The machine's speed drifts, so what is compared is measured within the same minute: a ratio is taken within a round.
While one subject has its turn, the others are stopped (SIGSTOP).
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models, process, results, subjects, wrk
from benchmarks.subjects import base

CHECKED_AT_ONCE = 16


@dataclass(frozen=True)
class Plan:
    """What one run measures.

    Attributes:
        seconds: How long one load lasts, by number of connections.
        rounds: How many turns each subject gets at each number of connections.
        once: Subjects that get one turn only: far from what is looked at, and slow to work off what is left queued.
        first: The number of the first round, where others were measured before.
    """

    seconds: Mapping[int, float]
    rounds: int
    once: frozenset[str] = frozenset()
    first: int = 0


@dataclass(frozen=True)
class Running:
    """A subject that is up, on its port, with its scratch directory."""

    subject: subjects.Subject
    server: process.ServerProcess
    port: int
    scratch: Path


def measure(run: results.Run, names: Iterable[str], compared: Sequence[subjects.Subject], plan: Plan) -> None:
    """Add the samples of these models and subjects to the run, and who could not be measured and why."""
    for name in names:
        model = models.open_model(name)
        with contextlib.ExitStack() as up, tempfile.TemporaryDirectory() as scratch:
            running = _start_all(run, model, compared, Path(scratch), up)
            for number in range(plan.first, plan.first + plan.rounds):
                for connections, seconds in plan.seconds.items():
                    # Another one first each time: nobody always has the coolest core.
                    turn = number % max(1, len(running))
                    for one in [*running[turn:], *running[:turn]]:
                        if number and one.subject.name in plan.once:
                            continue
                        run.samples.append(_sample(one, model, number, connections, seconds))


def _start_all(
    run: results.Run,
    model: models.Model,
    compared: Sequence[subjects.Subject],
    scratch: Path,
    up: contextlib.ExitStack,
) -> list[Running]:
    running = []
    for number, subject in enumerate(compared):
        place = scratch / str(number)
        place.mkdir()
        try:
            running.append(_start(subject, model, place, up))
        except (process.DidNotStart, base.WrongAnswer, base.Absent, wrk.Unreadable) as error:
            print(f"{model.name}: {subject.name} is not measured: {error}", flush=True)
            run.absent.append(results.Absent(subject.name, model.name, str(error)))
    return running


def _start(subject: subjects.Subject, model: models.Model, scratch: Path, up: contextlib.ExitStack) -> Running:
    """Start it, see that its answers are scikit-learn's, which warms it up, and stop it until its turn."""
    with contextlib.ExitStack() as unless_right:
        server, port = started(subject, model, scratch, unless_right)
        seconds = server.wait_until_ready()
        verify(subject, port, model)
        server.freeze()
        up.push(unless_right.pop_all())
    print(
        f"{model.name}: {subject.name} is up after {seconds:.1f} s, its {len(model.rows)} answers are right", flush=True
    )
    return Running(subject, server, port, scratch)


def started(
    subject: subjects.Subject, model: models.Model, scratch: Path, up: contextlib.ExitStack
) -> tuple[process.ServerProcess, int]:
    """The process of a subject, not waited for, ended with the stack; and its port.

    Raises:
        base.Absent: It does not serve this model, or is not installed.
    """
    if reason := subject.absent(model):
        raise base.Absent(reason)
    ports = process.free_ports()
    server = process.ServerProcess(subject.command(model, ports, scratch), scratch / "log")
    up.callback(server.end)
    return server, subject.port(ports)


@contextlib.contextmanager
def ready(subject: subjects.Subject, model: models.Model) -> Iterator[tuple[process.ServerProcess, int, Path]]:
    """The same, ready and answering rightly, for the time of a block; with the folder that it lives in.

    Raises:
        base.Absent: It does not serve this model, or is not installed.
        process.DidNotStart: It ended, or was not ready in time.
        base.WrongAnswer: A label is not scikit-learn's.
    """
    with contextlib.ExitStack() as up, tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        server, port = started(subject, model, scratch, up)
        server.wait_until_ready()
        verify(subject, port, model)
        yield server, port, scratch


def verify(subject: subjects.Subject, port: int, model: models.Model) -> None:
    """Ask for every row, many at once: an answer that went to another caller would be seen.

    Raises:
        base.WrongAnswer: A label is not scikit-learn's.
    """

    def check(number: int) -> None:
        subject.check(port, model, number)

    with ThreadPoolExecutor(CHECKED_AT_ONCE) as callers:
        for _ in callers.map(check, range(len(model.rows))):
            pass


def _sample(one: Running, model: models.Model, number: int, connections: int, seconds: float) -> results.Sample:
    one.server.thaw()
    used = one.server.cpu_seconds()
    try:
        load = one.subject.load(one.port, model, connections, seconds, one.scratch)
        used = one.server.cpu_seconds() - used
        one.server.wait_until_idle()
    finally:
        one.server.freeze()
    print(
        f"{model.name} {connections:4} connections, round {number + 1}: {one.subject.name:32} {load.rate:9,.0f}/s"
        f"  p50 {load.latency_ms.p50:8.2f} ms  p99 {load.latency_ms.p99:8.2f} ms  errors {load.errors.total}"
        f"  CPU {used / load.seconds:.0%}",
        flush=True,
    )
    return results.Sample(number, one.subject.name, model.name, connections, load, round(used, 3))
