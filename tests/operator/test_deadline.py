"""The progress deadline: it runs by the API server's clock, and stands still while nobody may go on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from modelroll_operator import liverule, steps
from modelroll_operator.observed import Observed
from modelroll_operator.plan import plan
from simulation import values

DEADLINE = 300


def _rolling() -> Observed:
    """A rollout of 2.0.0 whose pods take their time."""
    versions = (values.model_version("2.0.0", progress_deadline=DEADLINE),)
    pods = values.pods_serving(values.content("1.0.0"), 7)
    seen = values.observed(versions, values.settled_at("1.0.0", 7), pods)
    seen = _carried_out(seen)
    assert seen.state is not None
    assert seen.state.rollout is not None
    template = seen.state.rollout.annotation
    seen = replace(seen, deployment=replace(seen.deployment, template_target=template, updated=1))
    return _carried_out(seen)


def _carried_out(seen: Observed) -> Observed:
    step = plan(seen)
    return replace(seen, state=step.state) if isinstance(step, steps.Save) else seen


def _after(seen: Observed, seconds: float) -> Observed:
    return _carried_out(replace(seen, now=seen.now + timedelta(seconds=seconds)))


def _pause_deployment(seen: Observed, *, on: bool) -> Observed:
    return replace(seen, deployment=replace(seen.deployment, paused=on))


def _pause_version(seen: Observed, *, on: bool) -> Observed:
    return replace(seen, versions=tuple(replace(one, paused=on) for one in seen.versions))


def _scale_to_nothing(seen: Observed, *, on: bool) -> Observed:
    return replace(seen, deployment=replace(seen.deployment, desired=0 if on else 2))


def _is_late(seen: Observed) -> bool:
    step = plan(seen)
    return isinstance(step, steps.RecordFailure) and step.attempt.reason == "ProgressDeadlineExceeded"


def test_a_rollout_is_late_after_its_deadline_and_not_before() -> None:
    assert not _is_late(_after(_rolling(), DEADLINE))
    assert _is_late(_after(_rolling(), DEADLINE + 1))


@pytest.mark.parametrize("hold", [_pause_deployment, _pause_version, _scale_to_nothing])
def test_the_time_that_a_rollout_is_held_does_not_count(hold: Callable[..., Observed]) -> None:
    seen = _after(_rolling(), 200)
    seen = _carried_out(hold(seen, on=True))
    seen = _after(seen, 10_000)
    assert not _is_late(seen)
    seen = _carried_out(hold(seen, on=False))
    assert not _is_late(_after(seen, DEADLINE - 200))
    assert _is_late(_after(seen, DEADLINE - 200 + 1))


@pytest.mark.parametrize("hold", [_pause_deployment, _pause_version, _scale_to_nothing])
def test_holding_is_written_down_once(hold: Callable[..., Observed]) -> None:
    seen = _carried_out(hold(_rolling(), on=True))
    assert not isinstance(plan(seen), steps.Save)
    assert not isinstance(plan(replace(seen, now=seen.now + timedelta(hours=1))), steps.Save)


def test_a_version_for_another_deployment_does_not_hold_up_the_end_of_its_rollout() -> None:
    seen = _rolling()
    deployment = replace(seen.deployment, updated=2)
    seen = replace(seen, deployment=deployment, pods=values.pods_serving(values.content("2.0.0"), 8))
    seen = _carried_out(seen)
    assert plan(seen) == steps.Wait("the ModelVersion's status does not say Live yet")
    assert isinstance(plan(replace(seen, siblings=("churn", "churn-eu"))), steps.Close)


def test_what_is_served_without_an_eligible_version_is_told() -> None:
    state = values.settled_at("1.0.0", 7)
    assert liverule.unasked(values.observed((), state)) is not None
    assert liverule.unasked(values.observed((values.model_version("1.0.0", withdrawn=True),), state)) is not None
    assert liverule.unasked(values.observed((values.model_version("1.0.0"),), state)) is None
    assert liverule.unasked(values.observed(())) is None, "nothing was ever asked for"
    twice = (values.model_version("2.0.0"), values.model_version("2.0.0", uid="other"))
    assert liverule.unasked(values.observed(twice, state)) is None, "a conflict is told at the ModelVersions"
