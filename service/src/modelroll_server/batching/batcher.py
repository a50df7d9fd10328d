"""One version's queue: what arrived together, or while the batches before were computed, is the next batch.

Nothing waits for a batch to fill, unless it is told to: a batch is made in the first turn of the event loop that has
nothing else to do, for what else it does is reading requests and writing answers. Cheap batches are computed on the
event loop, where handing over to a thread would cost more than they do; dear ones in a thread.
"""

import asyncio
import collections
import functools
import math
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelroll_server import errors
from modelroll_server.batching.admission import MAX_QUEUED_ROWS, Admission
from modelroll_server.batching.batch import Computation, Computed, Part, Request, Rows
from modelroll_server.batching.cost import Cost
from modelroll_server.batching.threads import Threads
from modelroll_server.telemetry import traces as tracing
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.tally import Tally
from modelroll_server.telemetry.traces import Traces
from modelroll_server.tensors import Answers

if TYPE_CHECKING:
    from collections.abc import Callable

INLINE_SECONDS = 0.001  # what is dearer goes to a thread
BATCH_SECONDS = 0.005  # batches grow as long as they take less: who comes next waits no longer than that
MAX_ROWS = 1_024
IDLE_SECONDS = 15e-6  # a turn of the event loop that took less had nothing to do
GATHER_SECONDS = 0.002  # that others may be read before a batch is made, all turns together

TOO_LATE = "the deadline passed before the answer was there"


@dataclass(frozen=True, slots=True)
class Limits:
    """How batches are made.

    Attributes:
        rows: Of a batch, to begin with: a model that answers more of them in little time is given more.
        delay: Seconds that the first row of a batch may wait for more.
        inline: Whether cheap batches may be computed on the event loop; not by what may hang.
        queued: Rows that may wait, of all versions together; a request beyond is turned away.
    """

    rows: int = 32
    delay: float = 0.0
    inline: bool = True
    queued: int = MAX_QUEUED_ROWS


class Batcher:
    """The queue of one version's computation; used from one event loop."""

    def __init__(
        self,
        computation: Computation,
        *,
        threads: Threads,
        admission: Admission,
        limits: Limits,
        metrics: Metrics,
        batch_rows: Tally,
        traces: Traces | None = None,
    ) -> None:
        self._computation = computation
        self._threads = threads
        self._admission = admission
        self._limits = limits
        self._batch_rows = batch_rows
        self._traces = traces
        self._queue_seconds = metrics.phases.labels("queue")
        self._infer_seconds = metrics.phases.labels("infer")
        self._cost = Cost()
        self._queue: collections.deque[Request] = collections.deque()
        self._rows = 0
        self._size = limits.rows
        self._flush_at: asyncio.Handle | None = None
        self._gathers_since = self._turned = 0.0
        self._in_threads: set[Request] = set()
        self._loop = asyncio.get_running_loop()  # kept: to be asked for it costs a system call
        self._expires = math.inf  # when the earliest deadline is looked at
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, rows: Rows, count: int, deadline: float) -> asyncio.Future[Answers]:
        """Queue rows, at least one; the future gets their answers, or an error.

        Raises:
            errors.Overloaded: too much waits already.
            errors.DeadlineExceeded: the deadline has passed.
        """
        now = time.monotonic()
        if now >= deadline:
            raise errors.DeadlineExceeded(TOO_LATE)
        if self._admission.is_full(count):
            self._sweep(now)
            if self._admission.is_full(count):
                raise self._admission.refuse()
        loop = self._loop
        request = Request(rows, count, deadline, loop.create_future(), now)
        if self._traces is not None:
            request.trace = tracing.current.get()
        self._queue.append(request)
        self._rows += count
        self._admission.rows += count
        if deadline < self._expires:
            self._watch(deadline, now)
        if self._flush_at is None:
            delay = self._limits.delay
            self._flush_at = loop.call_later(delay, self._flush) if delay else self._gather_from(now)
        return request.future

    def predicted(self, rows: int) -> float:
        """Seconds that so many rows will take to compute; infinite before anything is known."""
        return self._cost.predict(rows)

    def thread_is_free(self) -> None:
        """Go on: see `Threads.has_free`."""
        if self._queue:
            self._flush()

    def _gather_from(self, now: float) -> asyncio.Handle:
        self._gathers_since = self._turned = now
        return self._loop.call_soon(self._gather)

    def _gather(self) -> None:
        """Make the batch, unless the turn of the loop that has just ended was busy: others may come in the next."""
        now = time.monotonic()
        is_idle = now - self._turned < IDLE_SECONDS
        if is_idle or now - self._gathers_since > GATHER_SECONDS or self._rows >= self._size:
            self._flush()
        else:
            self._turned = now
            self._flush_at = self._loop.call_soon(self._gather)

    def _flush(self) -> None:
        self._flush_at = None
        while self._queue:
            is_cheap = self._cost.predict(min(self._rows, self._size)) <= INLINE_SECONDS
            inline = is_cheap and self._limits.inline
            if not inline and not self._threads.has_free(self):
                return
            parts = self._take(time.monotonic())
            if not parts:
                return
            if inline:
                self._finish(parts, self._computation.run(parts))
                if self._queue and self._flush_at is None:
                    # What arrives is read between two batches.
                    self._flush_at = self._gather_from(time.monotonic())
                return
            for request, _, _ in parts:
                request.running += 1
                self._in_threads.add(request)
            self._threads.submit(
                functools.partial(self._computation.run, parts), functools.partial(self._finish_thread, parts)
            )

    def _take(self, now: float) -> list[Part]:
        """The parts of the next batch. A request with more rows than fit goes to the end of the queue: others' turn."""
        parts: list[Part] = []
        queue, space = self._queue, self._size
        while queue and space:
            request = queue.popleft()
            start = request.taken
            left = request.count - start
            if request.deadline <= now or request.future.done():
                self._drop(request)
                continue
            stop = start + (min(space, left))
            parts.append((request, start, stop))
            request.taken = stop
            space -= stop - start
            if stop < request.count:
                queue.append(request)
        if parts:
            self._leave(self._size - space)
            self._queue_seconds.observe(now - parts[0][0].began)
        return parts

    def _drop(self, request: Request) -> None:
        """Forget a request that waits, and is late or given up."""
        request.fail(errors.DeadlineExceeded(TOO_LATE))
        self._leave(request.count - request.taken)

    def _leave(self, rows: int) -> None:
        self._rows -= rows
        self._admission.rows -= rows

    def _finish_thread(self, parts: list[Part], computed: Computed) -> None:
        for request, _, _ in parts:
            request.running -= 1
            if not request.running:
                self._in_threads.remove(request)
        self._finish(parts, computed)

    def _finish(self, parts: list[Part], computed: Computed) -> None:
        rows = sum([stop - start for _, start, stop in parts])
        self._cost.learn(rows, computed.seconds, computed.cpu_seconds)
        self._infer_seconds.observe(computed.seconds)
        self._batch_rows.observe(rows)
        if self._traces is not None:
            _tell(self._traces, parts, rows, computed)
        if rows == self._size and computed.seconds < BATCH_SECONDS / 2:
            self._size = max(self._size, min(MAX_ROWS, 2 * self._size))
        elif rows > self._limits.rows and computed.seconds > BATCH_SECONDS:
            self._size = max(self._limits.rows, self._size // 2)
        for (request, start, stop), answers in zip(parts, computed.answers, strict=True):
            if isinstance(answers, Exception):
                request.fail(answers)
            else:
                request.answer(start, stop, answers)

    def _sweep(self, now: float) -> None:
        """Drop what nobody waits for any more, to make room."""
        kept: collections.deque[Request] = collections.deque()
        for request in self._queue:
            if request.future.done() or request.deadline <= now:
                self._drop(request)
            else:
                kept.append(request)
        self._queue = kept

    def _watch(self, deadline: float, now: float) -> None:
        """Look at deadlines at this one and not at the one that was the earliest before."""
        if self._timer is not None:
            self._timer.cancel()
        self._expires = deadline
        # Weakly: a version that is gone would stay in memory until the last deadline that it was asked by.
        self._timer = self._loop.call_later(max(0.0, deadline - now), _call, weakref.WeakMethod(self._expire))

    def _expire(self) -> None:
        """Tell callers whose deadline passed while their rows waited, or were computed in a thread."""
        self._timer, self._expires = None, math.inf
        now = time.monotonic()
        self._sweep(now)
        for request in self._in_threads:
            if request.deadline <= now:
                request.fail(errors.DeadlineExceeded(TOO_LATE))
        waiting = [request.deadline for request in (*self._queue, *self._in_threads) if not request.future.done()]
        if waiting:
            self._watch(min(waiting), now)


def _tell(found: Traces, parts: list[Part], rows: int, computed: Computed) -> None:
    """Have the traces of a batch's requests say how long they waited, and what was computed with them."""
    traced = []
    for request, start, _ in parts:
        if request.trace is not None:
            traced.append(request.trace)
            if start == 0:
                request.trace.phase("queue", request.began, computed.began)
    if traced:
        attributes = {"modelroll.batch.rows": rows, "modelroll.batch.requests": len(parts)}
        found.computed(traced, computed.began, computed.seconds, attributes)


def _call(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    if (found := method()) is not None:
        found()
