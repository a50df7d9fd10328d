"""A candidate in running pods: a share is answered by it, and what it does wrong costs no caller anything."""

import json

import pytest

from harness.release import Release
from harness.traffic import under_load

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

STEPS = [{"percent": 20, "duration": "4s"}, {"percent": 60, "duration": "4s"}]
SHADOW = {"duration": "4s", "minRequests": 30}


def _strategy(**analysis: float) -> dict[str, object]:
    canary = {"shadow": SHADOW, "steps": STEPS, "analysis": {"minRequests": 30, "maxLatencyRatio": 100} | analysis}
    return {"type": "InPlace", "maxParallel": 3, "canary": canary}


def _uids(release: Release) -> set[str]:
    return {one["metadata"]["uid"] for one in release.pods()}


def test_a_candidate_that_disagrees_too_often_is_called_off_and_answered_nobody(release: Release) -> None:
    before = _uids(release)
    with under_load(release.namespace) as traffic:
        release.apply_version("2.0.0", strategy=_strategy(maxDisagreement=0))
        assert release.wait_stalled("2.0.0", 180) == "CanaryDisagrees"
    traffic.assert_flawless()
    assert traffic.verdict.by_version.keys() == {"1.2.0"}, "it was compared in the shadow alone"
    assert _uids(release) == before
    candidates = [release.status_of(one["metadata"]["name"])["candidate"] for one in release.pods()]
    assert candidates == [None] * 3
    release.delete_version("2.0.0")


def test_a_candidate_goes_through_its_stages_and_becomes_live(release: Release) -> None:
    before = _uids(release)
    with under_load(release.namespace) as traffic:
        release.apply_version("2.0.0", strategy=_strategy())
        release.wait_live("2.0.0", 240)
    traffic.assert_flawless()
    assert traffic.verdict.by_version.keys() == {"1.2.0", "2.0.0"}
    assert _uids(release) == before
    found = json.loads(release.namespace.kubectl("get", "modelversion", "churn-2.0.0", "--output=json"))["status"]
    assert (found["canary"]["stage"], found["canary"]["stages"], found["canary"]["percent"]) == (3, 3, 60)
    assert found["canary"]["requests"] >= 30
    assert found["canary"]["errorRate"] == 0
