"""Loading strategies: how long a server takes to be ready and to answer first, and how much memory it then holds.

Each start is a new process, timed from its first instruction; the files are in the page cache.
"""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import models, results, rounds, subjects


def measure(run: results.Run, name: str, compared: Sequence[subjects.Subject], times: int) -> None:
    """Start each subject that many times, in turn."""
    model = models.open_model(name)
    for number in range(times):
        for subject in compared:
            if subject.absent(model) is not None:
                continue
            with contextlib.ExitStack() as up, tempfile.TemporaryDirectory() as scratch:
                server, port = rounds.started(subject, model, Path(scratch), up)
                ready = server.wait_until_ready()
                resident = server.resident_mib()
                subject.check(port, model, 0)
                answer = time.monotonic() - server.began
            run.starts.append(results.Start(number, subject.name, name, ready, resident, answer))
            print(f"{name}: {subject.name} ready after {ready:.2f} s with {resident:.0f} MiB", flush=True)
