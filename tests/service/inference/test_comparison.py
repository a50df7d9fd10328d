"""Both versions over the same rows: what counts as another answer, what as a failure, and how long it rests."""

import queue
import threading
import types

import msgspec
import numpy as np
import pytest

import stand_in
from modelroll_server.canary import comparison
from modelroll_server.registry.beside import Beside, Numbers
from modelroll_server.registry.target import Candidate
from modelroll_server.schema import Row
from modelroll_server.tensors import Outputs, Table

ROWS: list[Row] = [(tenure, tenure / 1000, "month") for tenure in range(1000)]
STRICTER = [*stand_in.INPUTS[:2], msgspec.structs.replace(stand_in.INPUTS[2], categories=["month"])]


def _raise(_: Table) -> None:
    raise ValueError("a model raises what it likes")


def _exit(_: Table) -> None:
    raise SystemExit(1)


class Says:
    """Answers with what it was given."""

    kind = "stand-in"

    def __init__(self, prediction: object) -> None:
        self.prediction = np.asarray(prediction)

    def predict(self, table: Table) -> Outputs:
        return Outputs(self.prediction[: table.rows], None)


@pytest.mark.parametrize(
    ("right", "found", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3], [1, 0, 0], 2),
        (["a", "b"], ["a", "c"], 1),
        ([1.0, 100.0, 0.0], [1.009, 100.9, 0.0], 0),
        ([1.0, 100.0, 0.0], [1.02, 98.0, 1e-9], 3),
        ([np.nan, np.inf], [np.nan, np.inf], 0),
        ([np.nan, np.inf], [0.0, -np.inf], 2),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], 1),
        ([], [], 0),
    ],
)
def test_where_predictions_differ(right: list[object], found: list[object], expected: int) -> None:
    one, other = Outputs(np.asarray(right), None), Outputs(np.asarray(found), None)
    assert comparison.disagreements(one, other) == expected


def _compared(live: Says | stand_in.Echo, candidate: Says | stand_in.Echo, rows: int) -> Numbers:
    version = stand_in.version("2.0.0", candidate)
    beside = Beside(version, Candidate(version.content, 0, shadow=True), 2)
    comparison.compare(beside, stand_in.version("1.0.0", live), ROWS[:rows])
    return beside.numbers


def test_each_row_that_differs_counts() -> None:
    numbers = _compared(Says([1, 2, 3]), Says([1, 2, 4]), 3)
    assert (numbers.compared, numbers.disagreed) == (3, 1)
    assert (numbers.requests, numbers.comparisons) == (1, 1)


def test_of_a_large_request_the_first_rows_are_compared() -> None:
    assert _compared(stand_in.Echo(), stand_in.Echo(), 1000).compared == comparison.ROWS


@pytest.mark.parametrize("as_table", [False, True])
def test_rows_that_the_candidate_refuses_have_failed_and_the_others_are_compared(*, as_table: bool) -> None:
    live, version = stand_in.version("1.0.0"), stand_in.version("2.0.0", inputs=STRICTER)
    beside = Beside(version, Candidate(version.content, 0, shadow=True), 2, has_other_rules=True)
    rows: list[Row] = [(1, 0.5, "month"), (2, 0.5, "year"), (3, float("nan"), "month")]
    comparison.compare(beside, live, live.schema.table(rows) if as_table else rows)
    assert (beside.numbers.compared, beside.numbers.disagreed, beside.numbers.failed) == (2, 0, 1)
    assert (beside.numbers.requests, beside.numbers.comparisons) == (1, 1)


def test_a_candidate_that_raises_or_answers_otherwise_has_failed() -> None:
    assert _compared(stand_in.Echo(), stand_in.Echo(_raise), 3) == Numbers(failed=3, requests=1)
    assert _compared(stand_in.Echo(), Says([[1, 1], [2, 2], [3, 3]]), 3) == Numbers(failed=3, requests=1)
    assert _compared(stand_in.Echo(), stand_in.Echo(_exit), 3) == Numbers(failed=3, requests=1)
    assert _compared(stand_in.Echo(_raise), stand_in.Echo(_raise), 3) == Numbers()


def test_rows_that_only_the_candidate_has_no_finite_number_for_have_failed_and_the_others_are_compared() -> None:
    numbers = _compared(Says([1.0, 2.0, 3.0, np.nan]), Says([np.nan, np.inf, 4.0, np.nan]), 4)
    assert (numbers.failed, numbers.compared, numbers.disagreed) == (2, 2, 1)
    assert (numbers.requests, numbers.comparisons) == (1, 1)
    numbers = _compared(Says([[1.0, 2.0], [3.0, 4.0]]), Says([[1.0, -np.inf], [3.0, 4.0]]), 2)
    assert (numbers.failed, numbers.compared, numbers.disagreed) == (1, 1, 0)


def test_where_it_has_a_finite_number_for_no_row_nothing_is_compared() -> None:
    assert _compared(Says([1.0, 2.0]), Says([np.nan, np.nan]), 2) == Numbers(failed=2, requests=1)
    numbers = _compared(Says([np.nan, np.inf]), Says([np.nan, 1.0]), 2)
    assert (numbers.failed, numbers.compared, numbers.disagreed) == (0, 2, 1)


class Clock:
    """Stands in for `time`: it goes on where somebody computes or rests.

    Attributes:
        now: Seconds.
        went: What happened, with the seconds that it took.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.went: queue.Queue[tuple[str, float]] = queue.Queue()

    def monotonic(self) -> float:
        """The time."""
        return self.now

    perf_counter = monotonic

    def go(self, what: str, seconds: float) -> None:
        """Let this much time pass for it."""
        self.now += seconds
        self.went.put((what, seconds))


@pytest.mark.parametrize(("live", "candidate", "rest"), [(0.25, 0.5, 6.75), (0.0, 0.001, 0.009), (1.0, 2.0, 10.0)])
def test_after_each_comparison_it_rests_nine_times_as_long_and_ten_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch, live: float, candidate: float, rest: float
) -> None:
    clock = Clock()

    class Event(threading.Event):
        """One whose time-outs are the clock's."""

        def wait(self, timeout: float | None = None) -> bool:
            if timeout is None:
                return super().wait()
            clock.go("rests", round(timeout, 9))
            return self.is_set()

    fake = types.SimpleNamespace(Event=Event, Thread=threading.Thread, get_native_id=threading.get_native_id)
    monkeypatch.setattr(comparison, "threading", fake)
    monkeypatch.setattr(comparison, "time", clock)
    version = stand_in.version("2.0.0", stand_in.Echo(lambda _: clock.go("candidate", candidate)))
    beside = Beside(version, Candidate(version.content, 0, shadow=True), 2)
    compared = comparison.of(beside, stand_in.version("1.0.0", stand_in.Echo(lambda _: clock.go("live", live))))
    for _ in range(3):
        compared.offer(beside, ROWS[:1], 1)
    went = [clock.went.get(timeout=60) for _ in range(9)]
    assert went == [("live", live), ("candidate", candidate), ("rests", rest)] * 3
