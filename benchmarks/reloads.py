"""Swapping versions under load: does memory come back, and what do callers notice.

Two versions of one model take turns, each as soon as the one before is live, while clients ask as fast as the answers
come. The first reloads are a warm-up: from then on, memory is to stay where it is.
"""

import statistics
import threading
import time
from pathlib import Path

from benchmarks import models, moves, process, results, rounds
from benchmarks.subjects import ours

COUNT = 500
APART = 0.5
"""Seconds between two reloads, where they do not follow one another at once: still more often than anybody does."""
WARM_UP = 20
CONNECTIONS = 16
WINDOW_SECONDS = 5
WINDOWS_BEFORE = 4
SETTLED = 10
"""Looks at the memory before."""


def measure(run: results.Run, name: str, count: int = COUNT, pause: float = 0.0) -> None:
    """Add the reloads of that model to the run, so many seconds apart."""
    model = models.open_model(name)
    subject = ours.Following()
    with rounds.ready(subject, model) as (server, port, scratch):
        mover = Mover(server, scratch / "targets", model.name, subject.versions)
        mover.move(WARM_UP)
        before = [subject.load(port, model, CONNECTIONS, WINDOW_SECONDS, scratch) for _ in range(WINDOWS_BEFORE)]
        sizes_before = [server.resident_mib() for _ in range(SETTLED)]
        began = time.monotonic()
        mover.start(count, pause)
        during = [subject.load(port, model, CONNECTIONS, WINDOW_SECONDS, scratch)]
        while mover.is_moving():
            during.append(subject.load(port, model, CONNECTIONS, WINDOW_SECONDS, scratch))
        seconds = time.monotonic() - began
        mover.finish()
        rounds.verify(subject, port, model)
    run.reloads.append(
        results.Reloads(
            model=name,
            count=len(mover.sizes) - WARM_UP,
            failed=sum(load.errors.total for load in during),
            before_ms=_middle(before),
            during_ms=_middle(during),
            before_mib=sizes_before,
            mib=[round(size, 2) for size in mover.sizes[WARM_UP:]],
            seconds=round(seconds, 1),
            pause=pause,
        )
    )


def _middle(loads: list[results.Load]) -> results.Latency:
    """The median of the windows, for each figure."""
    found = [load.latency_ms for load in loads]
    return results.Latency(
        *(statistics.median(getattr(one, field) for one in found) for field in ("p50", "p90", "p99", "max"))
    )


class Mover:
    """Writes `move` and waits until it is live, again and again; keeps the resident memory after each."""

    def __init__(self, server: process.ServerProcess, targets: Path, model: str, versions: tuple[str, str]) -> None:
        self._server = server
        self._moves = moves.Moves(server, targets)
        self._model = model
        self._versions = versions
        self._thread: threading.Thread | None = None
        self._failure: moves.NotThere | None = None
        self.sizes: list[float] = []

    def move(self, count: int, pause: float = 0.0) -> None:
        """That many times, with so many seconds between.

        Raises:
            moves.NotThere: One did not go live.
        """
        for _ in range(count):
            version = self._versions[(self._moves.revision + 1) % 2]
            self._moves.move({"path": f"{self._model}/{version}", "version": version})
            self.sizes.append(self._server.resident_mib())
            time.sleep(pause)

    def start(self, count: int, pause: float = 0.0) -> None:
        """The same in a thread of its own."""

        def run() -> None:
            try:
                self.move(count, pause)
            except moves.NotThere as failure:
                self._failure = failure

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def is_moving(self) -> bool:
        """Whether the thread still runs."""
        return self._thread is not None and self._thread.is_alive()

    def finish(self) -> None:
        """Wait for the thread.

        Raises:
            moves.NotThere: One did not go live.
        """
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
