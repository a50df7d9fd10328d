"""The plan, phase by phase: what is observed, and the one step that follows."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from modelroll_operator import liverule, observed, steps
from modelroll_operator import target as targets
from modelroll_operator.observed import Attempt, Failure, ModelVersion, Observed, Pod
from modelroll_operator.plan import ARTIFACT_GRACE, plan
from modelroll_operator.rollout import Memory, Phase, Rollout, State
from modelroll_operator.target import ENV, Content
from simulation import values

OLD, NEW = values.content("1.0.0"), values.content("2.0.0")
VERSIONS = (values.model_version("1.0.0"), values.model_version("2.0.0"))
OLD_TEMPLATE = targets.encode(targets.target(OLD, 7))


def _rollout(phase: Phase) -> Rollout:
    seen = values.observed(VERSIONS, values.settled_at("1.0.0", 7), deployment=values.deployment(OLD_TEMPLATE))
    step = plan(seen)
    assert isinstance(step, steps.Save)
    assert step.state.rollout is not None
    return msgspec.structs.replace(step.state.rollout, phase=phase)


def _rolling(
    phase: Phase, pods: Iterable[Pod], versions: Iterable[ModelVersion] = VERSIONS, **deployment: Any
) -> Observed:
    """A rollout from 1.0.0 at 7 to 2.0.0 at 8 that has come to `phase`."""
    rollout = _rollout(phase)
    state = values.settled_at("1.0.0", 7, counter=8, rollout=rollout)
    if phase == "settled":
        state = State(settled=targets.target(NEW, 8), memory=state.memory)
    template = OLD_TEMPLATE if phase == "moving" else rollout.annotation
    changes: dict[str, Any] = {"template_target": template} | deployment
    return values.observed(versions, state, pods, deployment=replace(values.deployment(), **changes))


def _later(seen: Observed, seconds: float) -> Observed:
    return replace(seen, now=seen.now + timedelta(seconds=seconds))


def _refusing(reason: str, revision: int = 8, **changes: Any) -> Pod:
    status = replace(values.serving(OLD, 7), live=None, live_revision=0, failure=Failure(revision, reason, "why"))
    return values.pod("new", status, **({"ready": False} | changes))


def _saved(step: steps.Step, why: str) -> State:
    assert isinstance(step, steps.Save)
    assert step.why == why
    return step.state


# --- S4: revisions ---


def test_without_anything_there_is_nothing_to_do() -> None:
    assert plan(values.observed()) == steps.Nothing()


@pytest.mark.parametrize("where", ["template", "replica set", "pod's target", "pod's move", "pod's status"])
def test_what_is_settled_is_raised_above_every_revision_seen(where: str) -> None:
    text = targets.encode(targets.target(NEW, 9))
    pods = values.pods_serving(OLD, 9 if where == "pod's status" else 7)
    if where == "pod's target":
        pods = tuple(replace(pod, target=text) for pod in pods)
    if where == "pod's move":
        pods = tuple(replace(pod, move=text) for pod in pods)
    seen = values.observed(VERSIONS[:1], values.settled_at("1.0.0", 7), pods)
    if where == "template":
        seen = replace(seen, deployment=values.deployment(text))
    if where == "replica set":
        seen = replace(seen, past_targets=(text,))
    state = _saved(plan(seen), "outrank")
    assert state.settled == targets.target(OLD, 10)
    assert state.memory == Memory(counter=10)


def test_a_lost_config_map_is_made_again_from_what_most_pods_serve() -> None:
    pods = (*values.pods_serving(OLD, 7), values.pod("new", values.serving(NEW, 8)))
    state = _saved(plan(values.observed(VERSIONS, None, pods)), "recover")
    assert state.settled == targets.target(OLD, 9)
    assert state.rollout is None


def test_a_lost_config_map_waits_for_pods_that_do_not_say_what_they_serve() -> None:
    pods = (*values.pods_serving(OLD, 7), values.pod("mute", None))
    assert isinstance(plan(values.observed(VERSIONS, None, pods)), steps.Wait)


# --- S5, S6: beginning ---


def test_a_rollout_begins_with_a_fresh_revision_and_remembers_what_to_restore() -> None:
    seen = values.observed(VERSIONS, values.settled_at("1.0.0", 7), deployment=values.deployment(OLD_TEMPLATE))
    state = _saved(plan(seen), "begin")
    assert state.settled == targets.target(OLD, 7)
    assert state.memory.counter == 8
    assert state.rollout is not None
    assert (state.rollout.phase, state.rollout.revision, state.rollout.to) == ("moving", 8, NEW)
    assert (state.rollout.restore, state.rollout.previous) == (OLD_TEMPLATE, OLD)


def test_planning_twice_gives_the_same_step() -> None:
    seen = values.observed(VERSIONS, values.settled_at("1.0.0", 7))
    assert plan(seen) == plan(seen)


@pytest.mark.parametrize(
    ("versions", "deployment"),
    [
        ((VERSIONS[0], replace(VERSIONS[1], paused=True)), values.deployment()),
        (VERSIONS, values.deployment(paused=True)),
        ((*VERSIONS, replace(VERSIONS[1], name="twin", uid="twin")), values.deployment()),
        ((), values.deployment()),
    ],
    ids=["version paused", "Deployment paused", "conflict", "no version"],
)
def test_no_rollout_begins(versions: tuple[ModelVersion, ...], deployment: observed.Deployment) -> None:
    seen = values.observed(versions, values.settled_at("1.0.0", 7), values.pods_serving(OLD, 7), deployment=deployment)
    assert isinstance(plan(seen), steps.Nothing)


def test_at_rest_pods_that_serve_something_else_are_moved_once() -> None:
    astray = values.pod("astray", values.serving(NEW, 6))
    seen = values.observed(VERSIONS[:1], values.settled_at("1.0.0", 7), (*values.pods_serving(OLD, 7), astray))
    step = plan(seen)
    assert isinstance(step, steps.MovePods)
    assert step.pods == (astray,)
    move = targets.decode(step.annotation)
    assert move is not None
    assert (move.content, move.revision) == (OLD, 7)
    moved = replace(astray, move=step.annotation)
    assert plan(replace(seen, pods=(moved,))) == steps.Nothing()


# --- S7: moving ---


def test_the_template_is_given_the_target_then_the_phase_moves_on() -> None:
    seen = _rolling("moving", values.pods_serving(OLD, 7))
    step = plan(seen)
    assert step == steps.ApplyTemplate(_rollout("moving").annotation)
    applied = replace(seen, deployment=values.deployment(_rollout("moving").annotation))
    state = _saved(plan(applied), "applied")
    assert state.rollout == _rollout("applied")


@pytest.mark.parametrize(
    ("pods", "deployment"),
    [
        ((*values.pods_serving(NEW, 8, 1), values.pod("old", values.serving(OLD, 7))), {}),
        (values.pods_serving(NEW, 8), {"generation": 2}),
        (values.pods_serving(NEW, 8), {"updated": 1}),
        (values.pods_serving(NEW, 8), {"available": 1}),
        (values.pods_serving(NEW, 8), {"replicas": 3}),
        (values.pods_serving(NEW, 6), {}),
        ((*values.pods_serving(NEW, 8, 1), values.pod("mute", None)), {}),
        ((), {"desired": 0, "replicas": 0, "updated": 0, "available": 0}),
    ],
    ids=["old pod", "not observed", "not updated", "not available", "surge", "old revision", "mute pod", "no pod"],
)
def test_nothing_is_settled_before_all_pods_serve_it(pods: tuple[Pod, ...], deployment: dict[str, Any]) -> None:
    seen = _rolling("applied", pods, **deployment)
    if deployment.get("desired") == 0:
        seen = replace(seen, state=_saved(plan(seen), "hold"))
    assert isinstance(plan(seen), steps.Wait)


def test_it_is_settled_once_all_pods_serve_it() -> None:
    state = _saved(plan(_rolling("applied", values.pods_serving(NEW, 8))), "settle")
    assert state.settled == targets.target(NEW, 8)
    assert state.rollout is not None
    assert state.rollout.phase == "settled"


def test_nothing_settles_on_the_word_of_no_pod() -> None:
    assert isinstance(plan(_rolling("applied", ())), steps.Wait)


# --- S9: failing ---


@pytest.mark.parametrize("reason", sorted(observed.FINAL_REASONS))
def test_a_pod_that_refuses_it_for_good_fails_the_attempt_at_once(reason: str) -> None:
    step = plan(_rolling("applied", (*values.pods_serving(OLD, 7), _refusing(reason))))
    key = liverule.key(VERSIONS[1], "template")
    assert step == steps.RecordFailure(VERSIONS[1], Attempt(key, "Failed", reason, "why"))


def test_an_attempt_at_what_is_no_longer_asked_for_is_called_off_and_not_held_against_it() -> None:
    edited = replace(VERSIONS[1], asks="2", allow_schema_change=True)
    refused = (*values.pods_serving(OLD, 7), _refusing("SchemaChanged"))
    state = _saved(plan(_rolling("applied", refused, (VERSIONS[0], edited))), "abort")
    assert state.rollout is not None
    assert state.rollout.phase == "aborting"
    # A new image, too: what the old one refused is no word on it.
    _saved(plan(_rolling("applied", refused, template_hash="another")), "abort")
    late = _later(_rolling("applied", values.pods_serving(OLD, 7), template_hash="another", available=1), 301)
    _saved(plan(late), "abort")


@pytest.mark.parametrize("reason", sorted(observed.PASSING_REASONS))
def test_what_a_push_may_still_mend_gets_some_time(reason: str) -> None:
    seen = _rolling("applied", (*values.pods_serving(OLD, 7), _refusing(reason)))
    assert isinstance(plan(_later(seen, ARTIFACT_GRACE)), steps.Wait)
    assert isinstance(plan(_later(seen, ARTIFACT_GRACE + 1)), steps.RecordFailure)
    # A pod that was made late in the rollout, on a node that does not see the volume's last write yet.
    late = replace(_refusing(reason), created=values.NOW + timedelta(seconds=60))
    seen = _rolling("applied", (*values.pods_serving(OLD, 7), late), available=1)
    assert isinstance(plan(_later(seen, 60 + ARTIFACT_GRACE)), steps.Wait)
    assert isinstance(plan(_later(seen, 60 + ARTIFACT_GRACE + 1)), steps.RecordFailure)
    # Where another pod serves it, it is there.
    seen = _rolling("applied", (*values.pods_serving(NEW, 8), late), available=1)
    assert isinstance(plan(_later(seen, 60 + ARTIFACT_GRACE + 1)), steps.Wait)


@pytest.mark.parametrize(
    "pod",
    [_refusing("LoadFailed", revision=6), _refusing("LoadFailed", terminating=True), _refusing("RevisionClash")],
    ids=["another revision", "leaving pod", "may pass"],
)
def test_what_does_not_speak_of_this_rollout_does_not_fail_it(pod: Pod) -> None:
    assert isinstance(plan(_rolling("applied", (*values.pods_serving(OLD, 7), pod))), steps.Wait)


@pytest.mark.parametrize("phase", ["moving", "applied"])
def test_the_deadline_fails_it(phase: Phase) -> None:
    seen = _rolling(phase, values.pods_serving(OLD, 7))
    step = plan(_later(seen, 301))
    assert isinstance(step, steps.RecordFailure)
    assert step.attempt.reason == "ProgressDeadlineExceeded"


def test_a_template_changed_by_somebody_else_fails_it() -> None:
    step = plan(_rolling("applied", values.pods_serving(OLD, 7), template_target=OLD_TEMPLATE))
    assert isinstance(step, steps.RecordFailure)
    assert step.attempt.reason == "TemplateChanged"


# --- S9: undoing ---


@pytest.mark.parametrize("phase", ["moving", "applied"])
@pytest.mark.parametrize(
    "versions",
    [
        VERSIONS[:1],
        (VERSIONS[0], replace(VERSIONS[1], withdrawn=True)),
        (*VERSIONS, values.model_version("3.0.0")),
        (VERSIONS[0], replace(VERSIONS[1], attempt=Attempt(liverule.key(VERSIONS[1], "template"), "Failed", "", ""))),
    ],
    ids=["deleted", "withdrawn", "superseded", "failed"],
)
def test_what_was_settled_gets_a_fresh_revision(phase: Phase, versions: tuple[ModelVersion, ...]) -> None:
    state = _saved(plan(_rolling(phase, values.pods_serving(OLD, 7), versions)), "abort")
    assert state.settled == targets.target(OLD, 9)
    assert state.memory.counter == 9
    assert state.rollout is not None
    assert state.rollout.phase == "aborting"


def _aborting(pods: Iterable[Pod], **deployment: Any) -> Observed:
    seen = _rolling("aborting", pods, VERSIONS[:1], **deployment)
    assert seen.state is not None
    memory = Memory(counter=9, rollout=seen.state.rollout)
    return replace(seen, state=State(settled=targets.target(OLD, 9), memory=memory))


def test_the_template_is_restored_byte_for_byte() -> None:
    assert plan(_aborting(values.pods_serving(OLD, 7))) == steps.ApplyTemplate(OLD_TEMPLATE)


def test_a_template_that_somebody_else_changed_is_left_alone() -> None:
    step = plan(_aborting(values.pods_serving(OLD, 9), template_target="by hand"))
    assert isinstance(step, steps.Close)


def test_a_revision_written_by_hand_is_outranked_while_an_abort_closes() -> None:
    by_hand = targets.encode(targets.target(values.content("0.9.0"), 50))
    state = _saved(plan(_aborting(values.pods_serving(OLD, 9), template_target=by_hand)), "outrank")
    assert state.settled == targets.target(OLD, 51)
    assert state.rollout is not None
    assert state.rollout.phase == "aborting"


def test_a_revision_written_by_hand_is_outranked_while_a_rollout_settles() -> None:
    seen = _rolling("settled", values.pods_serving(NEW, 8))
    assert seen.state is not None
    by_hand = targets.encode(targets.target(values.content("0.9.0"), 50))
    rollout = seen.state.rollout
    settled = State(settled=targets.target(NEW, 8), memory=seen.state.memory)
    seen = replace(seen, state=settled, deployment=replace(seen.deployment, template_target=by_hand))
    state = _saved(plan(seen), "outrank")
    assert state.settled == targets.target(NEW, 51)
    assert state.rollout == rollout


@pytest.mark.parametrize("revision", [2**53 + 1, 2**53, 2**53 - 1])
def test_a_revision_that_leaves_no_room_above_it_is_not_outranked(revision: int) -> None:
    move = f'{{"env":true,"revision":{revision}}}'
    astray = values.pod("astray", values.serving(OLD, 7), move=move)
    seen = values.observed((), values.settled_at("1.0.0", 7), (*values.pods_serving(OLD, 7), astray))
    assert isinstance(plan(seen), steps.Nothing)


def test_then_pods_that_serve_the_new_content_are_moved_back() -> None:
    astray = values.pod("astray", values.serving(NEW, 8))
    step = plan(_aborting((*values.pods_serving(OLD, 9), astray), template_target=OLD_TEMPLATE))
    assert isinstance(step, steps.MovePods)
    assert step.pods == (astray,)


def test_the_rollout_is_forgotten_when_nobody_serves_anything_else() -> None:
    step = plan(_aborting(values.pods_serving(OLD, 9), template_target=OLD_TEMPLATE))
    assert step == steps.Close(State(settled=targets.target(OLD, 9), memory=Memory(counter=9)))


@pytest.mark.parametrize(("left", "forgotten"), [(1, False), (0, True), (-1, True)])
def test_it_is_remembered_while_a_draining_pod_may_still_answer_with_it(left: int, forgotten: bool) -> None:
    gone_by = values.NOW + timedelta(seconds=left)
    draining = values.pod("draining", values.serving(NEW, 8), terminating=True, gone_by=gone_by, ready=False)
    step = plan(_aborting((*values.pods_serving(OLD, 9), draining), template_target=OLD_TEMPLATE))
    assert isinstance(step, steps.Close) is forgotten


def test_before_anything_was_settled_an_abort_settles_model_path() -> None:
    rollout = msgspec.structs.replace(_rollout("applied"), previous=ENV, restore=None)
    state = State(memory=Memory(counter=8, rollout=rollout))
    saved = _saved(plan(values.observed((), state, deployment=values.deployment(rollout.annotation))), "abort")
    assert saved.settled == targets.target(ENV, 9)


# --- S8: settling ---


def test_settling_waits_for_the_status_to_say_live() -> None:
    seen = _rolling("settled", values.pods_serving(NEW, 8))
    assert isinstance(plan(seen), steps.Wait)
    live = replace(seen, versions=(VERSIONS[0], replace(VERSIONS[1], live=True)))
    assert plan(live) == steps.Close(State(settled=targets.target(NEW, 8), memory=Memory(counter=8)))


def test_settling_does_not_wait_for_a_version_that_was_deleted() -> None:
    assert isinstance(plan(_rolling("settled", values.pods_serving(NEW, 8), VERSIONS[:1])), steps.Close)


def test_settling_moves_stragglers() -> None:
    old = values.pod("old", values.serving(OLD, 7))
    step = plan(_rolling("settled", (*values.pods_serving(NEW, 8), old)))
    assert isinstance(step, steps.MovePods)
    assert step.pods == (old,)


# --- S11: interplay ---


def test_going_back_is_a_new_rollout_with_a_new_revision() -> None:
    template = _rollout("applied").annotation
    back = (VERSIONS[0], replace(VERSIONS[1], withdrawn=True))
    seen = values.observed(
        back, values.settled_at("2.0.0", 8), values.pods_serving(NEW, 8), deployment=values.deployment(template)
    )
    state = _saved(plan(seen), "begin")
    assert state.rollout is not None
    assert (state.rollout.to, state.rollout.revision, state.rollout.restore) == (OLD, 9, template)


def test_a_stripped_annotation_needs_nothing() -> None:
    seen = values.observed(VERSIONS, values.settled_at("2.0.0", 8), values.pods_serving(NEW, 8))
    assert plan(seen) == steps.Nothing()


def test_one_content_at_another_digest_is_another_content() -> None:
    digested = replace(VERSIONS[1], digest="sha256:" + "c" * 64)
    seen = values.observed((digested,), values.settled_at("2.0.0", 8), values.pods_serving(NEW, 8))
    state = _saved(plan(seen), "begin")
    assert state.rollout is not None
    assert state.rollout.to == Content(version="2.0.0", path="churn/2.0.0", digest=digested.digest)
