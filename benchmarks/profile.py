"""Where the time of one request goes: the server under load, looked at from outside by py-spy.

Processor time a request, by the part of the server that held it: the Python function that ran, or that called into C.
What uvloop does on its own has no Python frame and is counted to where uvicorn entered it. Beside it, the phases that
modelroll itself reports (`prediction_phase_seconds`), which include waiting. Some of them it observes once a batch.
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
_WAITING = {("concurrent/futures/thread.py", "_worker"), ("threading.py", "Thread.run")}
"""Threads that wait for work inside C, which py-spy takes for busy ones: those that compute, and grpc's that polls."""
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]+?)(?::\d+)?\)$")
PER_BATCH = frozenset({"queue", "infer"})
"""Phases observed once a batch: how long its first request waited, and how long all its rows were computed together.
The others are observed once a request, of those that are timed."""
_BATCH_ROWS = re.compile(r"prediction_batch_rows_(?P<kind>sum|count)\{[^}]*\} (?P<value>\S+)")
_ROOT = re.compile(r"^.*(?:site-packages|service/src|benchmarks|lib/python[0-9.]+)/")
_PHASE = re.compile(r'prediction_phase_seconds_(?P<kind>sum|count)\{phase="(?P<phase>\w+)"\} (?P<value>\S+)')

Observed = tuple[float, float]
"""The sum of what was observed, and how many observations that were."""


@dataclass(frozen=True)
class Profile:
    """One subject under load.

    Attributes:
        load: What the load generator saw.
        cpu_micros: Processor time of one request, in µs.
        places: Share of the samples by file of the innermost frame, from 0 to 1, largest first.
        functions: The same by function.
        phases: µs by phase, the mean of what the server observed (`PER_BATCH` says of what); empty for others.
        batch_rows: Rows of one batch, the mean; 0 where the server does not say.
    """

    load: results.Load
    cpu_micros: float
    places: dict[str, float]
    functions: dict[str, float]
    phases: dict[str, float]
    batch_rows: float


def measure(subject: subjects.Subject, model: models.Model, connections: int) -> Profile:
    """Put it under load, and look."""
    with contextlib.ExitStack() as up, tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        server, port = rounds.started(subject, model, scratch, up)
        server.wait_until_ready()
        rounds.verify(subject, port, model)
        # Without py-spy first: it stops the process to look at it.
        before, used = _metrics(server), server.cpu_seconds()
        load = subject.load(port, model, connections, SECONDS, scratch)
        used, after = server.cpu_seconds() - used, _metrics(server)
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
        phases=_means(phases(before), phases(after)),
        batch_rows=mean(batch_rows(before), batch_rows(after)),
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
    return _ROOT.sub("", file)


def _metrics(server: process.ServerProcess) -> str:
    """What Prometheus would read; something else where there are no metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", server.command.ready_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode(errors="replace")


def phases(exposition: str) -> dict[str, Observed]:
    """Seconds and count by phase, from the text that Prometheus reads."""
    found: dict[str, dict[str, float]] = {}
    for match in _PHASE.finditer(exposition):
        found.setdefault(match["phase"], {})[match["kind"]] = float(match["value"])
    return {phase: (one.get("sum", 0.0), one.get("count", 0.0)) for phase, one in found.items()}


def batch_rows(exposition: str) -> Observed:
    """Rows and count of the batches of all versions, from the text that Prometheus reads."""
    found = {"sum": 0.0, "count": 0.0}
    for match in _BATCH_ROWS.finditer(exposition):
        found[match["kind"]] += float(match["value"])
    return found["sum"], found["count"]


def mean(before: Observed, after: Observed) -> float:
    """Of what was observed between two looks; 0 when nothing was."""
    return (after[0] - before[0]) / max(1.0, after[1] - before[1])


def _means(before: dict[str, Observed], after: dict[str, Observed]) -> dict[str, float]:
    return {phase: mean(before.get(phase, (0.0, 0.0)), found) * 1e6 for phase, found in after.items()}
