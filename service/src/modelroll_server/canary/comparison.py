"""The shadow: both versions over the same rows, one after the other, off the path of requests.

What is compared is computed in one thread that yields to everything else, rests nine tenths of the time, and drops what
comes too fast.
"""

import collections
import contextlib
import dataclasses
import math
import os
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np
import structlog

from modelroll_server import errors
from modelroll_server.batching.batch import Rows
from modelroll_server.registry.beside import Beside
from modelroll_server.registry.version import Version
from modelroll_server.schema import Row, rows_of
from modelroll_server.tensors import Outputs, Table

HANGS_AFTER = 30.0  # seconds after which a comparison counts as one that never ends
HANGS_AFTER_TIMES = 10.0  # and times what the live version took: the thread yields, and may be kept waiting
QUEUED = 8  # requests that wait to be compared
ROWS = 64  # of one request that are compared
REST = 9.0  # seconds of rest for each second of comparing
LONGEST_REST = 10.0
NICENESS = 19
CLOSE = 0.01  # numbers that differ by less, relative to the larger one, are the same prediction

_log = structlog.get_logger(__name__)


def of(beside: Beside, live: Version) -> "Comparison":
    """The one of this candidate, which begins when it is first asked for."""
    found: Comparison | None = beside.attached.get(Comparison)
    if found is None:
        found = beside.attached[Comparison] = Comparison(beside, live)
    return found


@dataclasses.dataclass(slots=True)
class Run:
    """What the thread is at, as the event loop sees it.

    Attributes:
        rows: That the candidate computes now.
        until: When it counts as one that never ends, on the clock of `time.monotonic`.
        is_counted: Whether its rows were counted as failed already.
    """

    rows: int = 0
    until: float = math.inf
    is_counted: bool = False

    def begin(self, rows: int, seconds: float) -> None:
        """Take note that the candidate begins on rows for which the live version took so many seconds."""
        self.rows, self.is_counted = rows, False
        self.until = time.monotonic() + max(HANGS_AFTER, HANGS_AFTER_TIMES * seconds)

    def end(self) -> bool:
        """Take note that it is done; whether what came of it still counts."""
        self.until = math.inf
        return not self.is_counted


class Comparison:
    """Both versions over the same rows, one after the other, in a thread that ends when the candidate is let go of."""

    def __init__(self, beside: Beside, live: Version) -> None:
        self._waiting: collections.deque[Rows] = collections.deque()
        self._wake, gone = threading.Event(), threading.Event()
        self._run = Run()
        weakref.finalize(beside, _end, gone, self._wake)
        self._thread = threading.Thread(
            target=_compare_all,
            args=(weakref.ref(beside), live, self._waiting, self._wake, gone, self._run),
            name="compare",
            daemon=True,
        )
        self._thread.start()

    def offer(self, beside: Beside, rows: Rows, count: int) -> None:
        """Compare rows, unless enough wait already; costs the caller next to nothing.

        While the candidate hangs they count as failed: without numbers there would be no verdict.
        """
        run = self._run
        if time.monotonic() >= run.until:
            if not run.is_counted:
                run.is_counted = True
                beside.numbers.failed += run.rows
                beside.numbers.requests += 1
                _log.warning("the candidate hangs on rows that the live version answers", rows=run.rows)
            beside.numbers.failed += min(count, ROWS)
            beside.numbers.requests += 1
            return
        if len(self._waiting) >= QUEUED:
            beside.numbers.dropped += count
            return
        self._waiting.append(rows)
        self._wake.set()


def _end(gone: threading.Event, wake: threading.Event) -> None:
    gone.set()
    wake.set()


def _compare_all(
    beside: "weakref.ref[Beside]",
    live: Version,
    waiting: "collections.deque[Rows]",
    wake: threading.Event,
    gone: threading.Event,
    run: Run,
) -> None:
    _yield_to_others()
    while not gone.is_set():
        wake.wait()
        wake.clear()
        while waiting:
            rows = waiting.popleft()
            candidate = beside()
            if candidate is None:
                return
            began = time.monotonic()
            try:
                compare(candidate, live, rows, run)
            except Exception:  # noqa: BLE001 - nothing that it does may end it
                _log.exception("a comparison failed")
            del candidate, rows
            # Not a sleep: with the candidate it lets go of the live version at once, which may be live no more.
            if gone.wait(min(LONGEST_REST, (time.monotonic() - began) * REST)):
                return


def _yield_to_others() -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except (OSError, AttributeError):  # a thread has no priority of its own everywhere
        _log.debug("comparisons run at the priority of requests")


def compare(beside: Beside, live: Version, rows: Rows, run: Run | None = None) -> None:
    """Both versions over these rows; what came of it goes into the candidate's numbers."""
    run = run or Run()
    numbers = beside.numbers
    first = rows.slice(0, ROWS) if isinstance(rows, Table) else rows[:ROWS]
    own, taken = _taken(beside, first)
    refused = (first.rows if isinstance(first, Table) else len(first)) - own.rows
    numbers.failed += refused
    numbers.requests += bool(refused)
    if not own.rows:
        return
    table = taken if isinstance(taken, Table) else live.schema.table(taken)
    began = time.perf_counter()
    try:
        right = live.runtime.predict(table)
    except Exception:  # noqa: BLE001 - rows that the live version raises on say nothing of the candidate
        return
    between = time.perf_counter()
    run.begin(table.rows, between - began)
    failed: BaseException | None = None
    differing = lost = 0
    try:
        found = beside.version.runtime.predict(own)
        differing = disagreements(right, found)
        lost = int(np.count_nonzero(right.finite & ~found.finite))
    except BaseException as error:  # noqa: BLE001 - a model raises what it likes, and nobody else ends this thread
        failed = error
    took = time.perf_counter() - between
    if not run.end():
        return
    numbers.requests += not refused
    if failed is not None:
        sentence = "the candidate failed on rows that the live version answers"
        _log.warning(sentence, error=f"{type(failed).__name__}: {failed}")
        numbers.failed += table.rows
        return
    if lost:
        _log.warning("the candidate answers no finite number where the live version does", rows=lost)
        numbers.failed += lost
    if lost == table.rows:
        return
    numbers.compared += table.rows - lost
    numbers.comparisons += 1
    numbers.disagreed += differing - lost  # each of them differs
    numbers.live_seconds += between - began
    numbers.candidate_seconds += took


def _taken(beside: Beside, rows: Rows) -> tuple[Table, Rows]:
    """The rows that the candidate takes: as a table of its own, and as they were."""
    schema = beside.version.schema
    if not beside.has_other_rules:
        return rows if isinstance(rows, Table) else schema.table(rows), rows
    own, taken = [], []
    for row in listed(rows):
        with contextlib.suppress(errors.RequestError):
            own.append(beside.version.arrays.row(list(row)))
            taken.append(row)
    return schema.table(own), taken


def listed(rows: Rows) -> Sequence[Row]:
    """Rows one by one."""
    return rows_of(rows) if isinstance(rows, Table) else rows


def disagreements(right: Outputs, found: Outputs) -> int:
    """In how many rows the predictions differ: labels at all, numbers by more than a hundredth.

    Raises:
        ValueError: there is another number of them.
    """
    one, other = np.asarray(right.prediction), np.asarray(found.prediction)
    if one.shape != other.shape:
        raise ValueError(f"predictions of shape {list(other.shape)}, where the live version has {list(one.shape)}")
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        # Either way: what is close is measured against the second.
        close = [np.isclose(a, b, rtol=CLOSE, atol=0, equal_nan=True) for a, b in ((one, other), (other, one))]
        differ = ~(close[0] | close[1])
    else:
        differ = np.asarray(one != other)
    return int(np.count_nonzero(differ.reshape(len(one), -1).any(axis=1))) if len(one) else 0
