"""Where the time of one request goes: the server under load, looked at from outside by py-spy.

Processor time a request, by the part of the server that held it: the Python function that ran, or that called into C.
What uvloop does on its own has no Python frame and is counted to where uvicorn entered it. Beside it, the phases that
modelroll itself reports (`prediction_phase_seconds`), which include waiting.
"""

import collections
import contextlib
import http.client
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models, process, results, rounds, subjects

SECONDS = 5
_SAMPLES_A_SECOND = 400
_LEAD_SECONDS = 1
_WAITING = {("concurrent/futures/thread.py", "_worker")}
"""Threads that wait for work inside C, which py-spy takes for busy ones."""
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]+?)(?::\d+)?\)$")
_PHASE = re.compile(r'prediction_phase_seconds_(?P<kind>sum|count)\{phase="(?P<phase>\w+)"\} (?P<value>\S+)')


@dataclass(frozen=True)
class Profile:
    """One subject under load.

    Attributes:
        load: What the load generator saw.
        cpu_micros: Processor time of one request, in µs.
        places: Share of the samples by file of the innermost frame, from 0 to 1, largest first.
        functions: The same by function.
        phases: µs of one request by phase, as the server counts them; empty for others.
    """

    load: results.Load
    cpu_micros: float
    places: dict[str, float]
    functions: dict[str, float]
    phases: dict[str, float]


def measure(subject: subjects.Subject, model: models.Model, connections: int) -> Profile:
    """Put it under load, and look."""
    with contextlib.ExitStack() as up, tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        server, port = rounds.started(subject, model, scratch, up)
        server.wait_until_ready()
        rounds.verify(subject, port, model)
        # Without py-spy first: it stops the process to look at it.
        before, used = _phases(server), server.cpu_seconds()
        load = subject.load(port, model, connections, SECONDS, scratch)
        used, after = server.cpu_seconds() - used, _phases(server)
        stacks = scratch / "stacks"
        spy = threading.Thread(target=_record, args=(server.pid, stacks))
        spy.start()
        subject.load(port, model, connections, SECONDS + 2 * _LEAD_SECONDS, scratch)
        spy.join()
        places, functions = shares(stacks.read_text().splitlines())
    asked = max(1, load.answers)
    return Profile(
        load=load,
        cpu_micros=used / asked * 1e6,
        places=places,
        functions=functions,
        phases={phase: per_request(before, after, phase) for phase in after},
    )


def _record(pid: int, file: Path) -> None:
    """Collapsed stacks of everything that is not idle."""
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--output", str(file)]
    command += ["--format", "raw", "--duration", str(SECONDS), "--rate", str(_SAMPLES_A_SECOND)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if not file.exists():
        raise RuntimeError(f"py-spy could not look (it needs the right to trace processes):\n{said.stderr}")


def shares(stacks: Iterable[str]) -> tuple[dict[str, float], dict[str, float]]:
    """By file and by function of the innermost frame, from lines `outer;…;inner count`."""
    files, functions = collections.Counter[str](), collections.Counter[str]()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        found = _FRAME.match(frames.rsplit(";", 1)[-1])
        if found is None:
            continue
        file = _short(found["file"])
        if (file, found["function"]) in _WAITING:
            continue
        files[file] += int(count)
        functions[f"{file}: {found['function']}"] += int(count)
    total = max(1, files.total())
    return (
        {name: number / total for name, number in files.most_common()},
        {name: number / total for name, number in functions.most_common()},
    )


def _short(file: str) -> str:
    """The path within its distribution."""
    for mark in ("site-packages/", "service/src/", "benchmarks/", "lib/python3.11/"):
        if mark in file:
            return file.rpartition(mark)[2]
    return file


def _phases(server: process.ServerProcess) -> dict[str, tuple[float, float]]:
    """Seconds and count by phase; empty where there is no such metric."""
    connection = http.client.HTTPConnection("127.0.0.1", server.command.ready_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode(errors="replace")
    return phases(text)


def phases(exposition: str) -> dict[str, tuple[float, float]]:
    """Seconds and count by phase, from the text that Prometheus reads."""
    found: dict[str, dict[str, float]] = {}
    for match in _PHASE.finditer(exposition):
        found.setdefault(match["phase"], {})[match["kind"]] = float(match["value"])
    return {phase: (one.get("sum", 0.0), one.get("count", 0.0)) for phase, one in found.items()}


def per_request(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]], phase: str) -> float:
    """The mean of a phase between two looks, in µs."""
    seconds, count = after[phase]
    earlier_seconds, earlier_count = before.get(phase, (0.0, 0.0))
    return (seconds - earlier_seconds) / max(1.0, count - earlier_count) * 1e6
