"""The share: whom a candidate answers, and who answers where it raises, refuses, is late or predicts no finite number.

It computes in threads of its own, so that one that hangs holds up nobody else. Who is in no share may be compared.
"""

import asyncio
import time
import zlib
from collections.abc import Callable

import structlog

from modelroll_server import errors
from modelroll_server.batching.batch import Rows
from modelroll_server.batching.threads import Threads
from modelroll_server.cache import keys
from modelroll_server.canary import comparison
from modelroll_server.registry.beside import Beside
from modelroll_server.registry.version import Version
from modelroll_server.schema import rows_of
from modelroll_server.tensors import Answers, Table

SHORTEST = 0.2  # seconds; who has less left is not asked to wait for a candidate first
LONGEST = 30.0  # seconds that a candidate gets of those left, half of them at most
LARGEST_CHECKED = 512  # rows of one request that are checked again by a candidate's own rules, on the event loop
FIRST = 64  # rows that decide who is in a share
_BUCKETS = 10_000

Compute = Callable[[Rows, int, float], asyncio.Future[Answers]]

_log = structlog.get_logger(__name__)


class Lane:
    """Where a candidate computes, and who answers instead.

    Attributes:
        live: The version that it is beside.
        instead: Has the live version compute rows.
        compute: Has the candidate compute rows; waits for no thread and no queue of the live version's.
    """

    def __init__(self, live: Version, instead: Compute, compute: Compute, threads: Threads) -> None:
        self.live = live
        self.instead = instead
        self.compute = compute
        self._threads = threads
        self._was_late = False
        self._encode = keys.encoder([column.datatype for column in live.schema.inputs])

    @property
    def hangs(self) -> bool:
        """Whether it was late, and none of its threads has come back since."""
        self._was_late = self._was_late and self._threads.free == 0
        return self._was_late

    def late(self) -> None:
        """Take note that it did not answer in its time."""
        self._was_late = True

    def bucket(self, rows: Rows) -> int:
        """A number below 10,000 that requests with equal first rows have in common, however they were written."""
        first = rows_of(rows.slice(0, FIRST)) if isinstance(rows, Table) else rows[:FIRST]
        return zlib.crc32(b"".join(map(self._encode, first))) % _BUCKETS


def predict(beside: Beside, lane: Lane, rows: Rows, count: int, deadline: float) -> asyncio.Future[Answers]:
    """Rows that the live version's schema has checked, computed by the one whose share they are in.

    Raises:
        errors.RequestError: as `Inference.predict`.
    """
    if beside.asked.percent > 0 and lane.bucket(rows) < beside.asked.percent * (_BUCKETS / 100):
        is_slow_to_check = beside.has_other_rules and count > LARGEST_CHECKED
        if is_slow_to_check or deadline - time.monotonic() < SHORTEST:
            return lane.instead(rows, count, deadline)
        return _Attempt(beside, lane, rows, count, deadline).future
    if beside.asked.shadow:
        comparison.of(beside, lane.live).offer(beside, rows, count)
    return lane.instead(rows, count, deadline)


def _own_rows(beside: Beside, rows: Rows) -> Rows:
    """Rows of the live version's schema as the candidate's has them.

    Raises:
        errors.RequestError: it refuses one.
    """
    if not beside.has_other_rules:
        return rows
    return [beside.version.arrays.row(list(row)) for row in comparison.listed(rows)]


class _Attempt:
    """A request that the candidate answers if it can, within half of the time; the live version otherwise."""

    def __init__(self, beside: Beside, lane: Lane, rows: Rows, count: int, deadline: float) -> None:
        self._beside = beside
        self._lane = lane
        self._numbers = beside.numbers  # of the stage that asked
        self._asked = (rows, count, deadline)
        self._not_finite: Answers | None = None  # what the candidate answered, where the live version is asked for that
        self.future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        begun = None if lane.hangs else self._begin()
        if begun is None:
            self._running = lane.instead(*self._asked)
            self._running.add_done_callback(self._answered_instead)
        else:
            self._running = begun
            self._running.add_done_callback(self._answered)
        self.future.add_done_callback(self._ended)

    def _begin(self) -> asyncio.Future[Answers] | None:
        rows, count, deadline = self._asked
        now = time.monotonic()
        try:
            return self._lane.compute(_own_rows(self._beside, rows), count, now + min(LONGEST, (deadline - now) / 2))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the candidate's
            _log.debug("the candidate takes a request not", error=f"{type(error).__name__}: {error}")
            return None

    def _ended(self, future: asyncio.Future[Answers]) -> None:
        if future.cancelled():  # nobody waits for it
            self._running.cancel()

    def _answered(self, running: asyncio.Future[Answers]) -> None:
        error = None if running.cancelled() else running.exception()
        if self.future.done():
            return
        if error is None and not running.cancelled():
            answers = running.result()
            if answers.outputs.finite.all():
                self._numbers.answered += self._asked[1]
                self._numbers.requests += 1
                answers.by = self._beside.version
                self.future.set_result(answers)
                return
            self._not_finite = answers
        if isinstance(error, errors.DeadlineExceeded):
            self._lane.late()
        try:
            self._running = self._lane.instead(*self._asked)
        except errors.RequestError as refused:
            self.future.set_exception(refused)
            return
        self._running.add_done_callback(self._answered_instead)

    def _answered_instead(self, running: asyncio.Future[Answers]) -> None:
        if running.cancelled():
            self.future.cancel()
            return
        error = running.exception()
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
            return
        answers, lost = running.result(), self._not_finite
        if lost is None or (answers.outputs.finite & ~lost.outputs.finite).any():
            self._numbers.failed += self._asked[1]  # the rows are good: the live version answers them
            self._numbers.requests += 1
        self.future.set_result(answers)
