"""InPlace: which pods are asked when, and what ends it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelroll_operator import canary, liverule, steps
from modelroll_operator import target as targets
from modelroll_operator.observed import Attempt, Failure, Observed, Pod
from modelroll_operator.plan import ARTIFACT_GRACE, plan
from modelroll_operator.rollout import State
from simulation import values

OLD, NEW = values.content("1.0.0"), values.content("2.0.0")
VERSIONS = (values.model_version("1.0.0"), values.model_version("2.0.0", strategy="InPlace", max_parallel=3))


def _begun() -> State:
    step = plan(values.observed(VERSIONS, values.settled_at("1.0.0", 7), values.pods_serving(OLD, 7)))
    assert isinstance(step, steps.Save)
    assert step.why == "begin"
    return step.state


STATE = _begun()


def _seen(pods: Iterable[Pod], **changes: Any) -> Observed:
    return values.observed(VERSIONS, STATE, pods, **changes)


def _move() -> str:
    assert STATE.rollout is not None
    return STATE.rollout.move(trial=None)


def _untold(*names: str) -> list[Pod]:
    return [values.pod(name, values.serving(OLD, 7)) for name in names]


def _told(*names: str, **changes: Any) -> list[Pod]:
    return [values.pod(name, values.serving(OLD, 7, wanted_revision=8), move=_move(), **changes) for name in names]


def _arrived(*names: str) -> list[Pod]:
    return [values.pod(name, values.serving(NEW, 8), move=_move()) for name in names]


def _refusing(reason: str, **changes: Any) -> Pod:
    failure = Failure(8, reason, "why")
    status = values.serving(OLD, 7, wanted_revision=8, failure=failure)
    return values.pod("a", status, move=_move(), **changes)


def _asked(step: steps.Step) -> list[str]:
    assert isinstance(step, steps.MovePods), step
    return [pod.name for pod in step.pods]


def test_it_begins_without_a_word_to_the_template() -> None:
    assert STATE.settled == targets.target(OLD, 7)
    assert STATE.rollout is not None
    assert (STATE.rollout.strategy, STATE.rollout.phase, STATE.rollout.revision) == ("InPlace", "moving", 8)
    move = targets.decode(_move())
    assert move is not None
    assert (move.content, move.revision, move.attempt) == (NEW, 8, STATE.rollout.id)
    assert move.baseline == targets.Baseline(path="churn/1.0.0")


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        (_untold("b", "a", "c"), ["a"]),
        ([*_arrived("a"), *_untold("b", "c", "d", "e")], ["b", "c", "d"]),
        ([*_arrived("a"), *_told("b"), *_untold("c", "d", "e")], ["c", "d"]),
        ([*_arrived("a", "b", "c"), *_untold("d")], ["d"]),
        ([*_told("a", terminating=True, ready=False), *_untold("b", "c")], ["b"]),
        ([*_arrived("a"), *_told("b", ready=False), *_untold("c", "d", "e", "f")], ["c", "d", "e"]),
        ([values.pod("a", None, ready=False), *_untold("b")], ["b"]),
        ([values.pod("a", values.serving(NEW, 3)), values.pod("b", values.serving(NEW, 8))], ["a"]),
    ],
    ids=[
        "one at first",
        "then as many as may load at once",
        "with those that load already",
        "the last",
        "another one when the first is deleted",
        "past one that went down later",
        "none that is not Ready",
        "one that serves it at another revision",
    ],
)
def test_who_is_asked_next(pods: list[Pod], expected: list[str]) -> None:
    step = plan(_seen(pods))
    assert _asked(step) == expected
    assert isinstance(step, steps.MovePods)
    move = targets.decode(step.annotation)
    assert move is not None
    is_tried = any(pod.has_arrived(NEW, 8) and pod.ready for pod in pods)
    assert move.trial == (None if is_tried else 240)
    assert (move.content, move.revision) == (NEW, 8)


@pytest.mark.parametrize(
    "pods",
    [
        [*_told("a"), *_untold("b")],
        [*_told("a", ready=False), *_untold("b")],
        [*_arrived("a"), *_told("b", "c", "d"), *_untold("e")],
        [values.pod("a", None, ready=False)],
        [],
    ],
    ids=["the first is loading it", "the first went down with it", "as many load as may", "nobody is Ready", "nobody"],
)
def test_what_is_waited_for(pods: list[Pod]) -> None:
    assert isinstance(plan(_seen(pods)), steps.Wait)


def test_all_that_are_ready_have_come_and_it_settles() -> None:
    step = plan(_seen([*_arrived("a", "b"), values.pod("c", None, ready=False)]))
    assert isinstance(step, steps.Save)
    assert step.why == "settle"
    assert step.state.settled == targets.target(NEW, 8)


@pytest.mark.parametrize("reason", ["GoldenRowsDiffer", "CrashedWhileLoading", "LoadTimedOut"])
def test_a_pod_that_refuses_it_ends_it_and_nobody_else_is_asked(reason: str) -> None:
    step = plan(_seen([_refusing(reason), *_untold("b", "c")]))
    assert isinstance(step, steps.RecordFailure)
    assert (step.version.name, step.attempt.reason, step.attempt.message) == ("churn-2.0.0", reason, "why")


def test_an_artifact_that_is_being_pushed_gets_some_time() -> None:
    seen = _seen([_refusing("ArtifactMissing"), *_untold("b")])
    assert isinstance(plan(seen), steps.Wait)
    late = replace(seen, now=seen.now + timedelta(seconds=ARTIFACT_GRACE + 1))
    assert isinstance(plan(late), steps.RecordFailure)


def test_a_template_that_changes_meanwhile_changes_nothing() -> None:
    seen = _seen([*_arrived("a"), *_untold("b")], deployment=values.deployment("anything"))
    assert _asked(plan(seen)) == ["b"]


@pytest.mark.parametrize("paused", ["the version", "the Deployment"])
def test_nobody_is_asked_while_it_is_paused(paused: str) -> None:
    seen = _seen([*_arrived("a"), *_untold("b")])
    if paused == "the version":
        seen = replace(seen, versions=(VERSIONS[0], replace(VERSIONS[1], paused=True)))
    else:
        seen = replace(seen, deployment=replace(seen.deployment, paused=True))
    step = plan(seen)
    assert isinstance(step, steps.Save)
    assert step.why == "hold"
    assert isinstance(plan(replace(seen, state=step.state)), steps.Wait)


# --- calling off ---


def _aborted(pods: Iterable[Pod]) -> Observed:
    seen = replace(_seen(pods), versions=(VERSIONS[0], replace(VERSIONS[1], withdrawn=True)))
    step = plan(seen)
    assert isinstance(step, steps.Save)
    assert step.why == "abort"
    assert step.state.settled == targets.target(OLD, 9)
    return replace(seen, state=step.state)


def test_all_that_were_asked_are_asked_back_those_too_that_have_not_come_yet_or_are_not_ready() -> None:
    pods = [*_arrived("a"), *_told("b"), *_told("c", ready=False), *_untold("d"), *_told("e", terminating=True)]
    step = plan(_aborted(pods))
    assert _asked(step) == ["a", "b", "c"]
    assert isinstance(step, steps.MovePods)
    move = targets.decode(step.annotation)
    assert move is not None
    assert (move.content, move.revision) == (OLD, 9)


def test_the_rollout_is_not_forgotten_before_each_pod_that_was_asked_back_has_heard_it() -> None:
    back = targets.encode(targets.target(OLD, 9))
    deaf = values.pod("a", values.serving(OLD, 7, wanted_revision=8), move=back)
    seen = _aborted(_told("a"))
    assert isinstance(plan(replace(seen, pods=(deaf,))), steps.Wait)
    heard = values.pod("a", values.serving(OLD, 9), move=back)
    assert isinstance(plan(replace(seen, pods=(heard,))), steps.Close)


def test_what_one_pod_has_loaded_is_there_and_another_that_does_not_find_it_is_waited_for() -> None:
    seen = _seen([*_arrived("b"), _refusing("ArtifactMissing")])
    late = replace(seen, now=seen.now + timedelta(seconds=ARTIFACT_GRACE + 1))
    assert isinstance(plan(late), steps.Wait)


def _back(**changes: Any) -> Observed:
    """2.0.0 is settled and withdrawn; 1.0.0 is asked for, which was live before."""
    old = values.model_version("1.0.0", strategy="InPlace", max_parallel=3, **changes)
    key = liverule.key(old, values.deployment().template_hash)
    was_live = replace(old, attempt=Attempt(key, "Succeeded", "Live", ""))
    versions = (was_live, values.model_version("2.0.0", withdrawn=True))
    pods = [values.pod(name, values.serving(NEW, 8)) for name in "abcde"]
    return values.observed(versions, values.settled_at("2.0.0", 8), pods)


def test_who_goes_back_to_what_answered_before_is_neither_judged_nor_tried_first() -> None:
    stages = canary.read({"shadow": {"duration": "1h"}})
    seen = _back(canary=stages)
    begun = plan(seen)
    assert isinstance(begun, steps.Save)
    assert begun.state.rollout is not None
    assert (begun.state.rollout.stage, begun.state.rollout.gate) == (None, None)
    step = plan(replace(seen, state=begun.state))
    assert _asked(step) == ["a", "b", "c"]
    assert isinstance(step, steps.MovePods)
    move = targets.decode(step.annotation)
    assert move is not None
    assert (move.trial, move.baseline, move.candidate) == (None, None, None)


def test_a_lower_version_that_never_answered_is_judged_and_tried_all_the_same() -> None:
    seen = _back(canary=canary.read({"shadow": {"duration": "1h"}}))
    versions = (replace(seen.versions[0], attempt=None), seen.versions[1])
    begun = plan(replace(seen, versions=versions))
    assert isinstance(begun, steps.Save)
    assert begun.state.rollout is not None
    assert (begun.state.rollout.stage, begun.state.rollout.gate) == (0, NEW)
    assert _asked(plan(replace(seen, versions=versions, state=begun.state))) == ["a"]
