"""What is read out of Kubernetes' own words on a pod."""

from typing import Any

import pytest

from modelroll_operator.observe import deployment, hindrance, model_version, refusal
from simulation import kubelet


def _waiting(reason: str) -> dict[str, Any]:
    return {"name": "server", "state": {"waiting": {"reason": reason, "message": "back-off 10s"}}}


NOWHERE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        ({"conditions": None, "containerStatuses": None}, None),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]}, None),
        ({"conditions": [NOWHERE]}, "Unschedulable: 0/1 nodes are available"),
        ({"containerStatuses": [_waiting("ContainerCreating")]}, None),
        ({"containerStatuses": [_waiting("ImagePullBackOff")]}, "server is in ImagePullBackOff"),
        ({"initContainerStatuses": [_waiting("CrashLoopBackOff")]}, "server is in CrashLoopBackOff"),
        ({"containerStatuses": [{"name": "server", "state": {"running": {}}}]}, None),
    ],
)
def test_what_keeps_a_pod_from_running(status: dict[str, Any], expected: str | None) -> None:
    assert hindrance(status) == expected


def test_a_quota_that_allows_no_pod_is_read_from_the_deployment() -> None:
    quota = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: compute"}
    assert refusal({"conditions": [{"type": "Available", "status": "True"}, quota]}) == (
        "FailedCreate: exceeded quota: compute"
    )
    assert refusal({"conditions": [quota | {"status": "False"}]}) == refusal({"conditions": None}) == refusal({}) == ""


def test_what_refuses_pods_is_part_of_a_deployment() -> None:
    item = kubelet.deployment("churn", "churn", 8081)
    item["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1}
    assert deployment(item, "churn").refusal == ""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert deployment(item | {"status": {"conditions": [failure]}}, "churn").refusal == "FailedCreate: exceeded quota"


def _asks(**spec: Any) -> str:
    whole = {"model": "churn", "version": "2.0.0", "path": "churn/2.0.0"} | spec
    return model_version({"metadata": {"name": "churn", "uid": "u", "generation": 1}, "spec": whole}).asks


def test_what_a_version_asks_for_is_not_when() -> None:
    assert _asks() == _asks(paused=True) == _asks(withdrawn=True)
    assert len({_asks(), _asks(path="elsewhere"), _asks(strategy={"type": "InPlace"}), _asks(digest="sha256:0")}) == 4
