"""A candidate that is judged: what is asked of it, what its numbers say, and what follows."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelroll_operator import canary, steps
from modelroll_operator import target as targets
from modelroll_operator.canary import Analysis, Numbers, Stage
from modelroll_operator.observed import Beside, Observed, Pod
from modelroll_operator.plan import plan
from modelroll_operator.report import report
from modelroll_operator.rollout import State
from simulation import values

OLD, NEW = values.content("1.0.0"), values.content("2.0.0")
SPEC = {
    "shadow": {"duration": "1m", "minRequests": 1000},
    "steps": [{"percent": 5, "duration": "90s"}, {"percent": 50, "duration": "1h"}],
    "analysis": {"maxErrorRate": 0.01, "maxLatencyRatio": 1.2, "maxDisagreement": 0.1, "minRequests": 200},
}
CANARY = canary.read(SPEC)
VERSIONS = (
    values.model_version("1.0.0"),
    values.model_version("2.0.0", strategy="InPlace", max_parallel=3, canary=CANARY),
)


def _numbers(*, answered: int = 0, failed: int = 0, compared: int = 0, disagreed: int = 0) -> Numbers:
    """Of requests with two rows each; a thousand rows are computed in a second."""
    rows = {"answered": 2 * answered, "failed": 2 * failed, "compared": 2 * compared, "disagreed": 2 * disagreed}
    seconds = 2 * compared / 1000
    return Numbers(
        **rows,
        live_seconds=seconds,
        candidate_seconds=seconds,
        requests=answered + failed + compared,
        comparisons=compared,
    )


GOOD = _numbers(compared=1000)


# --- what is asked ---


def test_a_spec_is_read_as_stages() -> None:
    assert CANARY is not None
    assert CANARY.stages == (Stage(0, 60, 1000), Stage(5, 90, 200), Stage(50, 3600, 200))
    assert CANARY.analysis == Analysis(0.01, 1.2, 0.1)
    assert canary.read(None) is canary.read({}) is None
    defaults = canary.read({"shadow": {"duration": "60s"}})
    assert defaults == canary.Canary((Stage(0, 60, 100),), Analysis(0.0, 1.5, 1.0))


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2h1s", 7201), ("0s", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert canary.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "1d", "m", "-1s", "1.5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        canary.seconds(text)


# --- what numbers say ---

STAGE = Stage(5, 60, 200)
LIMITS = Analysis(0.01, 1.2, 0.1)


@pytest.mark.parametrize(
    ("numbers", "elapsed", "kind", "reason"),
    [
        (GOOD, 60, "passed", ""),
        (GOOD, 59, "open", ""),
        (Numbers(), 59, "open", ""),
        (_numbers(compared=199), 60, "open", "CanaryInconclusive"),
        (_numbers(answered=100, compared=100), 60, "passed", ""),
        (_numbers(answered=990, failed=10), 60, "passed", ""),
        (_numbers(answered=989, failed=11), 1, "failed", "CanaryErrors"),
        (_numbers(failed=100), 1, "open", ""),
        (replace(GOOD, disagreed=200), 60, "passed", ""),
        (replace(GOOD, disagreed=202), 1, "failed", "CanaryDisagrees"),
        (replace(GOOD, candidate_seconds=2.4), 60, "passed", ""),
        # Of comparing only what was compared says anything; but nothing is promoted against it.
        (_numbers(answered=300, compared=199, disagreed=199), 1, "open", ""),
        (_numbers(answered=300, compared=199, disagreed=199), 60, "open", "CanaryInconclusive"),
        (_numbers(answered=300, compared=200, disagreed=200), 1, "failed", "CanaryDisagrees"),
        (replace(_numbers(answered=300, compared=1), candidate_seconds=1.0), 1, "open", ""),
        (_numbers(answered=300), 60, "passed", ""),
        (replace(GOOD, candidate_seconds=2.42), 1, "failed", "CanarySlower"),
    ],
)
def test_verdicts(numbers: Numbers, elapsed: float, kind: str, reason: str) -> None:
    found = canary.verdict(numbers, STAGE, LIMITS, elapsed)
    assert (found.kind, found.reason) == (kind, reason)


def test_a_verdict_says_what_was_found_and_what_is_allowed() -> None:
    found = canary.verdict(replace(GOOD, disagreed=500), STAGE, LIMITS, 1)
    assert found.message == "it disagrees on 0.25 of rows, where 0.1 is allowed (1000 requests)"


def test_the_numbers_of_pods_are_summed() -> None:
    assert canary.total([GOOD, replace(GOOD, failed=2, answered=5)]) == Numbers(5, 2, 4000, 0, 4.0, 4.0, 2000, 2000)
    assert canary.total([]) == Numbers()


# --- what follows ---


def _begun() -> State:
    step = plan(values.observed(VERSIONS, values.settled_at("1.0.0", 7), values.pods_serving(OLD, 7)))
    assert isinstance(step, steps.Save)
    return step.state


def _with(state: State, pods: Iterable[Pod], seconds: float = 0, **changes: Any) -> Observed:
    seen = values.observed(VERSIONS, state, pods, **changes)
    return replace(seen, now=seen.now + timedelta(seconds=seconds))


def _move(state: State) -> targets.Target:
    step = plan(_with(state, [values.pod("a", values.serving(OLD, 7))]))
    assert isinstance(step, steps.MovePods)
    move = targets.decode(step.annotation)
    assert move is not None
    return move


def _beside(state: State, name: str, numbers: Numbers = GOOD) -> Pod:
    assert state.rollout is not None
    revision = state.rollout.revision
    status = values.serving(OLD, revision, candidate=Beside(NEW, revision, numbers))
    return values.pod(name, status, move=targets.encode(_move(state)))


def _saved(step: steps.Step, why: str) -> State:
    assert isinstance(step, steps.Save), step
    assert step.why == why
    return step.state


def test_pods_are_asked_to_have_it_beside_what_they_serve() -> None:
    state = _begun()
    assert state.rollout is not None
    assert (state.rollout.stage, state.rollout.since) == (0, None)
    move = _move(state)
    assert (move.content, move.revision, move.trial) == (OLD, 8, 240)
    assert move.candidate == targets.candidate(NEW, 0)
    assert move.candidate.shadow
    assert move.baseline is not None
    assert move.baseline.path == OLD.path, "callers of the version before are answered by it, too"


def test_a_stage_is_watched_once_every_ready_pod_has_it() -> None:
    state = _begun()
    untold = values.pod("b", values.serving(OLD, 7))
    step = plan(_with(state, [_beside(state, "a"), untold]))
    assert isinstance(step, steps.MovePods)
    assert [pod.name for pod in step.pods] == ["b"]
    watching = _saved(plan(_with(state, [_beside(state, "a"), _beside(state, "b")], 20)), "watch")
    assert watching.rollout is not None
    assert watching.rollout.since == values.NOW + timedelta(seconds=20)


def _watching(state: State) -> State:
    return _saved(plan(_with(state, [_beside(state, "a")])), "watch")


def test_stage_after_stage_with_a_revision_each_and_then_pods_move_to_it() -> None:
    state = _watching(_begun())
    assert isinstance(plan(_with(state, [_beside(state, "a")], 59)), steps.Wait)
    for stage, percent, seconds in ((1, 5, 90), (2, 50, 3600)):
        state = _saved(plan(_with(state, [_beside(state, "a")], 3600)), "stage")
        assert state.rollout is not None
        assert (state.rollout.stage, state.rollout.revision, state.rollout.since) == (stage, 8 + stage, None)
        assert _move(state).candidate == targets.candidate(NEW, percent)
        state = _watching(state)
        assert isinstance(plan(_with(state, [_beside(state, "a")], seconds - 1)), steps.Wait)
    state = _saved(plan(_with(state, [_beside(state, "a")], 3600)), "promote")
    assert state.rollout is not None
    assert (state.rollout.stage, state.rollout.revision) == (None, 11)
    move = _move(state)
    assert (move.content, move.candidate) == (NEW, None)


def test_what_passes_a_limit_ends_the_rollout_before_the_stage_is_over() -> None:
    state = _watching(_begun())
    bad = _beside(state, "a", replace(GOOD, failed=1000))
    step = plan(_with(state, [bad, _beside(state, "b")], 1))
    assert isinstance(step, steps.RecordFailure)
    assert step.attempt.reason == "CanaryErrors"


def test_too_few_requests_are_no_verdict_and_the_deadline_waits_with_them() -> None:
    state = _watching(_begun())
    seen = _with(state, [_beside(state, "a", _numbers(compared=10))], 100_000)
    step = plan(seen)
    assert isinstance(step, steps.Wait)
    assert "its time is over, and 1000 requests are wanted" in step.why
    said = report(seen, VERSIONS[1])
    ready = next(one for one in said.conditions if one.type == "Ready")
    assert ready.reason == "CanaryInconclusive"


def test_a_canary_that_is_not_wanted_any_more_ends_with_all_pods_moving_to_it() -> None:
    state = _watching(_begun())
    without = (VERSIONS[0], replace(VERSIONS[1], canary=None, asks="2"))
    seen = replace(_with(state, [_beside(state, "a")]), versions=without)
    promoted = _saved(plan(seen), "promote")
    assert promoted.rollout is not None
    assert promoted.rollout.stage is None


def test_a_canary_that_has_fewer_stages_now_goes_through_the_last_of_them() -> None:
    state = _watching(_begun())
    for _ in range(2):
        state = _watching(_saved(plan(_with(state, [_beside(state, "a")], 3600)), "stage"))
    shorter = canary.read(SPEC | {"steps": [{"percent": 30, "duration": "1h"}]})
    versions = (VERSIONS[0], replace(VERSIONS[1], canary=shorter, asks="2"))
    again = _saved(plan(replace(_with(state, [_beside(state, "a")]), versions=versions)), "stage")
    assert again.rollout is not None
    assert (again.rollout.stage, again.rollout.since) == (1, None)


def test_a_pod_that_came_while_a_canary_was_paused_has_not_been_late() -> None:
    state = _watching(_begun())
    versions = (VERSIONS[0], replace(VERSIONS[1], paused=True))
    held = _saved(plan(replace(_with(state, [_beside(state, "a")], 10), versions=versions)), "hold")
    late = replace(values.pod("b", values.serving(OLD, 7)), created=values.NOW + timedelta(seconds=20))
    gone_on = _saved(plan(_with(held, [_beside(state, "a"), late], 10_000)), "go on")
    assert gone_on.rollout is not None
    assert gone_on.rollout.since == values.NOW + timedelta(seconds=9990), "its ten seconds count, the pause does not"
    assert isinstance(plan(_with(gone_on, [_beside(state, "a"), late], 10_001)), steps.MovePods)


def test_a_pod_that_has_a_candidate_is_asked_to_let_go_of_it_when_the_rollout_is_called_off() -> None:
    state = _watching(_begun())
    withdrawn = (VERSIONS[0], replace(VERSIONS[1], withdrawn=True))
    aborted = _saved(plan(replace(_with(state, [_beside(state, "a")]), versions=withdrawn)), "abort")
    step = plan(replace(_with(aborted, [_beside(state, "a")]), versions=withdrawn))
    assert isinstance(step, steps.MovePods)
    move = targets.decode(step.annotation)
    assert move is not None
    assert (move.content, move.candidate) == (OLD, None)


def test_the_status_has_the_sums() -> None:
    state = _watching(_begun())
    pods = [_beside(state, "a"), _beside(state, "b", replace(GOOD, disagreed=20))]
    said = report(_with(state, pods, 5), VERSIONS[1])
    assert said.canary is not None
    assert (said.canary.stage, said.canary.stages, said.canary.percent) == (1, 3, 0)
    assert (said.canary.requests, said.canary.rows) == (2000, 4000)
    assert (said.canary.error_rate, said.canary.disagreement, said.canary.latency_ratio) == (0, 0.005, 1.0)
    ready = next(one for one in said.conditions if one.type == "Ready")
    assert ready.reason == "Canary"
    assert ready.message.startswith("stage 1 of 3, it is compared in the shadow: 2000 requests, errors 0")
