"""The sum of a run: nothing wrong is lost in it."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from checker import verdict

OLD, NEW = frozenset({"1.2.0"}), frozenset({"2.0.0"})
TIMELINE = [(0.0, OLD), (10.0, OLD | NEW), (20.0, NEW)]


def record(
    version: str | None, start: float, end: float, error: str | None = None, digest: str = "sha256:a"
) -> dict[str, Any]:
    times = {"start": start, "end": end, "ms": 1.0}
    return {"version": version, "digest": digest, "ok": error is None, "error": error, **times}


def test_a_version_is_legal_when_it_was_so_at_some_instant_of_the_request() -> None:
    assert verdict.legal_within(TIMELINE, 1, 2) == OLD
    assert verdict.legal_within(TIMELINE, 9, 11) == OLD | NEW
    assert verdict.legal_within(TIMELINE, 19, 21) == OLD | NEW
    assert verdict.legal_within(TIMELINE, 21, 22) == NEW


def test_an_answer_of_a_version_that_was_not_legal_is_counted() -> None:
    early, late, fine = record("2.0.0", 1, 2), record("1.2.0", 21, 22), record("2.0.0", 15, 16)
    assert verdict.judge([early, late, fine], TIMELINE).illegal == (early, late)


def test_a_failure_is_counted_and_is_nobodys_answer() -> None:
    failed = record(None, 1, 2, "reset")
    found = verdict.judge([failed, record("1.2.0", 1, 2)], TIMELINE)
    assert found.failed == (failed,)
    assert found.by_version == {"1.2.0": 1}


def cut_at(moment: float, error: str | None = None) -> dict[str, Any]:
    return record("1.2.0" if error is None else None, moment + 3, moment + 4, error) | {"cut": moment}


def test_a_cut_is_excused_while_a_killed_process_may_have_made_it() -> None:
    found = verdict.judge([cut_at(2), cut_at(5), record("1.2.0", 1, 2)], TIMELINE, [(2, 5)])
    assert (found.failed, found.cut, found.by_version) == ((), 2, {"1.2.0": 3})
    refused = cut_at(3) | {"cut_by": "ClientConnectorError: Cannot connect to host churn:8000"}
    assert verdict.judge([refused], TIMELINE, [(2, 5)]).cut_by == {"ClientConnectorError": 1}


def test_a_cut_at_any_other_moment_is_a_failure_though_the_second_try_was_answered() -> None:
    before, after = cut_at(1.9), cut_at(5.1)
    found = verdict.judge([before, after, cut_at(3)], TIMELINE, [(2, 5), (8, 9)])
    assert found.failed == (before, after)
    assert found.cut == 1
    assert verdict.judge([cut_at(3)], TIMELINE).failed == (cut_at(3),)


def test_a_kill_excuses_one_cut_of_a_request_and_not_a_second() -> None:
    twice = cut_at(3, "reset")
    assert verdict.judge([twice], TIMELINE, [(2, 9)]).failed == (twice,)


def test_every_digest_that_a_version_answered_under_is_named() -> None:
    found = verdict.judge([record("1.2.0", 1, 2), record("1.2.0", 1, 2, digest="sha256:b")], TIMELINE)
    assert found.digests == {"1.2.0": frozenset({"sha256:a", "sha256:b"})}


def test_nothing_sent_is_no_good_number() -> None:
    assert math.isnan(verdict.judge([], TIMELINE).p99)


@given(st.lists(st.tuples(st.sampled_from(["1.2.0", "2.0.0", "9.9.9"]), st.floats(0, 30), st.booleans()), max_size=50))
def test_every_request_is_counted_once(drawn: list[tuple[str, float, bool]]) -> None:
    records = [record(version, at, at + 1, None if ok else "x") for version, at, ok in drawn]
    found = verdict.judge(records, TIMELINE)
    assert found.requests == len(records) == len(found.failed) + sum(found.by_version.values())


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted), st.floats(1, 100))
def test_a_percentile_is_a_value_that_this_share_does_not_exceed(values: list[float], percent: float) -> None:
    found = verdict.percentile(values, percent)
    assert sum(value <= found for value in values) >= math.floor(len(values) * percent / 100)
    assert found in values
