"""The conditions of a ModelVersion, for every way that one can stand."""

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import argocd
from modelroll_operator import liverule, steps
from modelroll_operator import target as targets
from modelroll_operator.observed import Attempt, Failure, ModelVersion, Observed, Pod, PodStatus
from modelroll_operator.plan import plan
from modelroll_operator.report import Condition, PodCounts, Report, report, unresolved
from modelroll_operator.rollout import Phase, State
from simulation import values

OLD, NEW = values.model_version("1.0.0"), values.model_version("2.0.0")
AT_REST = values.observed((OLD,), values.settled_at("1.0.0", 7), values.pods_serving(OLD.content, 7))


def _rolling(phase: Phase) -> Observed:
    seen = replace(AT_REST, versions=(OLD, NEW))
    step = plan(seen)
    assert isinstance(step, steps.Save)
    assert step.state.rollout is not None
    memory = msgspec.structs.replace(
        step.state.memory, rollout=msgspec.structs.replace(step.state.rollout, phase=phase)
    )
    settled = targets.target(NEW.content, 8) if phase == "settled" else step.state.settled
    return replace(seen, state=State(settled=settled, memory=memory))


def _conditions(seen: Observed, version: ModelVersion) -> dict[str, Condition]:
    return {one.type: one for one in report(seen, version).conditions}


def _with(version: ModelVersion, **changes: Any) -> Observed:
    return replace(AT_REST, versions=(OLD, replace(version, **changes)))


def _failed(version: ModelVersion) -> ModelVersion:
    key = liverule.key(version, AT_REST.deployment.template_hash)
    return replace(version, attempt=Attempt(key, "Failed", "GoldenRowsDiffer", "row 3 (expected 1, found 0)"))


def _undoing() -> Observed:
    begun = _rolling("aborting")
    assert begun.state is not None
    pods = (*values.pods_serving(OLD.content, 7), _refusing())
    return replace(begun, versions=(OLD, _failed(NEW)), pods=pods)


def _refusing() -> Pod:
    return values.pod(
        "new", values.serving(OLD.content, 7, failure=Failure(8, "GoldenRowsDiffer", "row 3")), ready=False
    )


def _of_other_bytes() -> Observed:
    contents = [msgspec.structs.replace(OLD.content, digest=digest) for digest in ("sha256:a", "sha256:b")]
    pods = tuple(values.pod(one.digest or "", values.serving(one, 7)) for one in contents)
    return replace(AT_REST, pods=pods)


CASES: dict[str, tuple[Observed, ModelVersion, str, str, str | None]] = {
    "live": (AT_REST, OLD, "True", "Live", None),
    "live, while another that failed is undone": (_undoing(), OLD, "True", "Live", None),
    "live, of other bytes in each pod": (_of_other_bytes(), OLD, "False", "DigestsDiffer", "Degraded"),
    "a higher one is live": (_rolling("settled"), OLD, "True", "Superseded", None),
    "about to begin": (replace(AT_REST, versions=(OLD, NEW)), NEW, "False", "Pending", "Reconciling"),
    "under way": (_rolling("applied"), NEW, "False", "Progressing", "Reconciling"),
    "settled, not closed": (
        replace(_rolling("settled"), pods=values.pods_serving(NEW.content, 8)),
        NEW,
        "True",
        "Live",
        None,
    ),
    "paused": (_with(NEW, paused=True), replace(NEW, paused=True), "False", "Paused", None),
    "withdrawn": (_with(NEW, withdrawn=True), replace(NEW, withdrawn=True), "False", "Withdrawn", None),
    "not built": (
        _with(NEW, strategy="Teleport"),
        replace(NEW, strategy="Teleport"),
        "False",
        "StrategyUnsupported",
        "Stalled",
    ),
    "failed": (replace(AT_REST, versions=(OLD, _failed(NEW))), _failed(NEW), "False", "GoldenRowsDiffer", "Stalled"),
    "twice": (replace(AT_REST, versions=(OLD, NEW, replace(NEW, uid="other"))), NEW, "False", "Conflict", "Conflict"),
    "Deployment paused": (
        replace(AT_REST, versions=(OLD, NEW), deployment=values.deployment(paused=True)),
        NEW,
        "False",
        "DeploymentPaused",
        None,
    ),
}


@pytest.mark.parametrize(("seen", "version", "ready", "reason", "beside"), CASES.values(), ids=CASES)
def test_ready_says_where_a_version_stands(
    seen: Observed, version: ModelVersion, ready: str, reason: str, beside: str | None
) -> None:
    conditions = _conditions(seen, version)
    assert (conditions["Ready"].status, conditions["Ready"].reason) == (ready, reason)
    present = conditions.keys() - {"Ready", "Live", "Verified", "RolledOut"}
    assert present == (set() if beside is None else {beside}), "these only while true"
    assert all(one.message and one.reason for one in conditions.values())


def test_live_verified_and_rolled_out_are_what_pods_say() -> None:
    conditions = _conditions(AT_REST, OLD)
    assert [conditions[kind].status for kind in ("Live", "Verified", "RolledOut")] == ["True", "True", "True"]
    pods = (*values.pods_serving(OLD.content, 7, 1), values.pod("astray", values.serving(NEW.content, 9)))
    conditions = _conditions(replace(AT_REST, pods=pods), OLD)
    assert [conditions[kind].status for kind in ("Live", "Verified", "RolledOut")] == ["True", "True", "False"]
    conditions = _conditions(replace(AT_REST, pods=()), OLD)
    assert [conditions[kind].status for kind in ("Live", "Verified", "RolledOut")] == ["True", "Unknown", "False"]


def test_a_failed_version_carries_the_pods_own_words() -> None:
    failed = _failed(NEW)
    stalled = _conditions(replace(AT_REST, versions=(OLD, failed)), failed)["Stalled"]
    assert stalled.message == "row 3 (expected 1, found 0)"
    assert _conditions(replace(AT_REST, versions=(OLD, failed)), OLD)["Ready"].reason == "Live"


def test_what_keeps_pods_from_serving_is_named() -> None:
    refusing = Failure(8, "ArtifactMissing", "nothing is at churn/2.0.0")
    old = values.pod("b-old", values.serving(OLD.content, 7))
    new = values.pod("c-new", PodStatus(None, 0, 8, refusing), ready=False)
    nowhere = values.pod("d-new", None, ready=False, hindrance="Unschedulable: 0/1 nodes are available")
    leaving = replace(nowhere, name="a-leaving", terminating=True)

    seen = replace(_rolling("applied"), pods=(leaving, old, new, nowhere))
    named = "c-new: ArtifactMissing: nothing is at churn/2.0.0"
    assert _conditions(seen, NEW)["Ready"].message == f"pods are moving to 2.0.0; {named}"
    seen = replace(_rolling("applied"), pods=(leaving, old, nowhere))
    assert _conditions(seen, NEW)["Reconciling"].message.endswith("; d-new: Unschedulable: 0/1 nodes are available")
    assert _conditions(seen, OLD)["RolledOut"].message.endswith("; d-new: Unschedulable: 0/1 nodes are available")
    # Settled, but one that was to follow refuses: it serves the old one still, and the rollout stays open for it.
    straggler = values.pod("e", values.serving(OLD.content, 7, failure=refusing))
    seen = replace(_rolling("settled"), pods=(*values.pods_serving(NEW.content, 8, 1), straggler))
    assert _conditions(seen, NEW)["RolledOut"].message == (
        "1 of 2 pods serve it; e: ArtifactMissing: nothing is at churn/2.0.0"
    )


def test_pods_are_counted() -> None:
    pods = (*values.pods_serving(NEW.content, 8, 1), values.pod("old", values.serving(OLD.content, 7)))
    said = report(replace(_rolling("applied"), pods=pods), NEW)
    assert said.pods == PodCounts(desired=2, updated=1, ready=2)


@pytest.mark.parametrize(
    ("version", "siblings", "reason"),
    [
        (NEW, (), "DeploymentNotFound"),
        (NEW, ("a", "b"), "DeploymentAmbiguous"),
        (replace(NEW, deployment="c"), ("a", "b"), "DeploymentNotFound"),
    ],
    ids=["none", "several", "none of that name"],
)
def test_a_version_for_no_deployment_is_stalled(version: ModelVersion, siblings: tuple[str, ...], reason: str) -> None:
    conditions = {one.type: one for one in unresolved(version, siblings).conditions}
    assert (conditions["Stalled"].status, conditions["Stalled"].reason) == ("True", reason)
    assert conditions["Ready"].status == "False"


def test_who_keeps_the_next_rollout_from_beginning_is_named() -> None:
    third = values.model_version("3.0.0")
    closing = replace(_rolling("settled"), versions=(OLD, NEW, third))
    draining = values.pod("old", values.serving(OLD.content, 7), ready=False, terminating=True)
    mute, arrived = values.pod("mute", None), values.pod("new", values.serving(NEW.content, 8))

    ready = _conditions(replace(closing, pods=(draining, arrived)), third)["Ready"]
    assert (ready.reason, ready.message) == (
        "Pending",
        "its rollout begins when the one before it has ended; leaving: old",
    )
    seen = replace(closing, pods=(draining, mute, arrived))
    conditions = _conditions(seen, third)
    assert conditions["Reconciling"].reason == conditions["Ready"].reason == "PodsUnreadable"
    assert conditions["Ready"].message.endswith("what they serve is not known: mute")
    step = plan(replace(seen, versions=(OLD, replace(NEW, live=True), third)))
    assert step == steps.Wait("pods may still answer with something else: old, mute")


def test_a_live_version_that_a_pod_cannot_serve_is_degraded() -> None:
    refusing = Failure(7, "ArtifactMissing", "nothing is at churn/1.0.0")
    broken = values.pod("z-new", PodStatus(None, 0, 7, refusing), ready=False)
    conditions = _conditions(replace(AT_REST, pods=(*AT_REST.pods, broken)), OLD)
    assert (conditions["Ready"].status, conditions["Ready"].reason) == ("False", "Degraded")
    assert conditions["Degraded"].message.endswith("z-new: ArtifactMissing: nothing is at churn/1.0.0")
    assert conditions["Live"].status == "True"

    loading = values.pod("z-new", PodStatus(None, 0, 7, None, loading=True), ready=False)
    nowhere = values.pod("z-more", None, ready=False, placed=False, hindrance="Unschedulable: 0/1 nodes are available")
    conditions = _conditions(replace(AT_REST, pods=(*AT_REST.pods, loading, nowhere)), OLD)
    assert conditions["Ready"].status == "True", "an autoscaler that is ahead of its nodes is no fault"


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        ((), "no Ready pod serves it"),
        ((values.pod("a", None, ready=False),), "no Ready pod serves it"),
        (
            (values.pod("a", None, ready=False, placed=False, hindrance="Unschedulable: no"),),
            "it: a: Unschedulable: no",
        ),
        ((values.pod("a", values.serving(OLD.content, 7), terminating=True),), "no Ready pod serves it"),
    ],
)
def test_a_live_version_that_no_pod_serves_is_degraded_whatever_the_reason(pods: tuple[Pod, ...], message: str) -> None:
    conditions = _conditions(replace(AT_REST, pods=pods), OLD)
    assert (conditions["Ready"].status, conditions["Degraded"].reason) == ("False", "Degraded")
    assert conditions["Ready"].message.endswith(message)
    nothing_is_wanted = replace(AT_REST, pods=(), deployment=values.deployment(desired=0))
    assert _conditions(nothing_is_wanted, OLD)["Ready"].status == "True"


def test_a_pod_that_runs_and_says_nothing_is_named_after_a_while() -> None:
    young = values.pod("a-young", None, ready=False, started=values.NOW - timedelta(seconds=15))
    mute = values.pod("b-mute", None, ready=False, started=values.NOW - timedelta(seconds=16))
    loading = values.pod("c-loading", PodStatus(None, 0, 8, None, loading=True), ready=False)
    seen = replace(_rolling("applied"), pods=(loading,))
    assert _conditions(seen, NEW)["Ready"].message == "pods are moving to 2.0.0; c-loading is loading it"
    seen = replace(_rolling("applied"), pods=(young,))
    assert _conditions(seen, NEW)["Ready"].message == "pods are moving to 2.0.0"
    seen = replace(seen, pods=(loading, young, mute))
    assert _conditions(seen, NEW)["Ready"].message.endswith(
        "; b-mute: its container runs, but nobody answers for /status"
    )


def test_a_pod_that_could_not_be_made_is_told_in_the_words_of_who_refused_it() -> None:
    quota = 'FailedCreate: pods "churn-1-x" is forbidden: exceeded quota: compute'
    seen = _rolling("applied")
    refused = replace(seen, deployment=replace(seen.deployment, refusal=quota))
    assert _conditions(refused, NEW)["Ready"].message == f"pods are moving to 2.0.0; {quota}"


HEALTH = {
    "live": "Healthy",
    "live, while another that failed is undone": "Healthy",
    "live, of other bytes in each pod": "Degraded",
    "a higher one is live": "Healthy",
    "about to begin": "Progressing",
    "under way": "Progressing",
    "settled, not closed": "Healthy",
    "paused": "Suspended",
    "withdrawn": "Healthy",
    "not built": "Degraded",
    "failed": "Degraded",
    "twice": "Degraded",
    "Deployment paused": "Suspended",
}


def _item(said: Report, *, observed: int = 3, **spec: Any) -> dict[str, Any]:
    """What Argo CD reads of a ModelVersion that was reported so."""
    status = {"observedGeneration": observed, "conditions": [asdict(one) for one in said.conditions]}
    return {"metadata": {"name": "churn-2.0.0", "generation": 3}, "spec": spec, "status": status}


@pytest.mark.parametrize("case", CASES)
def test_argo_cd_is_told_of_every_way_that_a_version_can_stand(case: str) -> None:
    seen, version, _, reason, _ = CASES[case]
    found, message = argocd.health(_item(report(seen, version), paused=version.paused))
    assert found == HEALTH[case]
    assert message.startswith(f"{reason}: ")


def test_argo_cd_waits_for_an_operator_to_look() -> None:
    unseen = {"metadata": {"generation": 1}, "spec": {}}
    for item in (unseen, unseen | {"status": {}}, _item(report(AT_REST, OLD), observed=2)):
        assert argocd.health(item) == ("Progressing", "the operator has not looked at it yet")


def test_argo_cd_is_told_what_waits_for_somebody() -> None:
    nowhere = unresolved(NEW, ())
    assert argocd.health(_item(nowhere))[0] == "Degraded"
    kept = replace(OLD, withdrawn=True)
    assert argocd.health(_item(report(replace(AT_REST, versions=(kept,)), kept)))[0] == "Degraded", "served still"
    held = replace(NEW, paused=True)
    assert argocd.health(_item(report(_rolling("applied"), held), paused=True))[0] == "Suspended"
    broken = replace(AT_REST, pods=())
    assert argocd.health(_item(report(broken, OLD)))[0] == "Degraded"
