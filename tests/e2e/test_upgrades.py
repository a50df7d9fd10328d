"""What else happens while versions roll: upgrades, a lost operator, a pause, a ModelVersion that is deleted."""

import json

import pytest

from harness.cluster import ROOT, Object
from harness.readiness import TARGET
from harness.release import CHURN, NAME, Release, fresh
from harness.traffic import under_load
from harness.waiting import holds_for, wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

PREVIOUS = str(ROOT / "tests/e2e/previous/modelroll-0.1.0.tgz")
"""The chart before this one, as `helm package` made it."""


@pytest.fixture(autouse=True)
def on_1_2_0(release: Release) -> None:
    """Every test begins with 1.2.0 live, and 2.0.0 not there."""
    release.delete_version("2.0.0")
    release.wait_live("1.2.0")
    release.wait_ready(3)


def test_helm_test_passes(release: Release) -> None:
    release.namespace.helm("test", NAME, "--timeout=90s")


def test_an_upgrade_in_the_middle_of_a_rollout_reverts_nothing(release: Release) -> None:
    with under_load(release.namespace) as traffic:
        release.apply_version("2.0.0")
        release.wait_rollout()
        release.upgrade(log__level="warning")
        release.wait_live("2.0.0", 120)
        release.wait_ready(3)
    assert release.settled()["version"] == "2.0.0"
    assert {target(one) for one in release.pods()} == {"2.0.0"}
    assert environment(release)["LOG_LEVEL"] == "warning"
    traffic.assert_flawless()


def test_a_rollout_survives_its_operator(release: Release) -> None:
    with under_load(release.namespace) as traffic:
        release.apply_version("2.0.0")
        before = release.wait_rollout()
        assert release.kill_operator()
        release.wait_live("2.0.0", 120)
        release.wait_ready(3)
    assert release.settled()["revision"] == before["revision"], "the successor goes on, and does not begin again"
    traffic.assert_flawless()


def test_paused_holds_a_version_back(release: Release) -> None:
    release.apply_version("2.0.0", paused=True)
    wait_until(lambda: release.condition("2.0.0", "Ready"), what="a word on 2.0.0")
    settled = release.settled()
    holds_for(lambda: release.rollout() is None and release.settled() == settled, 3, what="1.2.0 stays")
    release.change("2.0.0", paused=False)
    release.wait_live("2.0.0")


def test_deleting_the_live_version_goes_back_to_the_next(release: Release) -> None:
    release.apply_version("2.0.0")
    release.wait_live("2.0.0")
    release.delete_version("2.0.0")
    release.wait_live("1.2.0")
    assert release.settled()["version"] == "1.2.0"


def test_install_may_come_before_push() -> None:
    with fresh("early") as early:
        early.install(autoscaling__enabled="false", replicas="1")
        (pod,) = wait_until(early.pods, what="a pod")
        name = pod["metadata"]["name"]
        wait_until(lambda: state(early, name) == "ArtifactMissing", what="ArtifactMissing in /status")
        early.push(CHURN)
        early.wait_ready(1)
        (after,) = early.pods()
        assert after["metadata"]["name"] == name, "the same pod, by itself"
        assert all(one["restartCount"] == 0 for one in after["status"]["containerStatuses"])


def test_upgrades_from_the_chart_before_and_of_the_autoscaler_revert_nothing() -> None:
    with fresh("previous") as release:
        release.push(CHURN)
        # Two pods, by the chart's own autoscaler, on its own share of a processor.
        release.install(PREVIOUS, resources__requests__cpu="250m")
        release.apply_version("2.0.0")
        release.wait_live("2.0.0")
        release.wait_ready(2)
        with under_load(release.namespace) as traffic:
            release.upgrade(log__level="warning")  # new pods, as another image makes them
            release.wait_ready(2)
            assert environment(release)["LOG_LEVEL"] == "warning"
            release.upgrade(autoscaling__enabled="false")
            assert release.namespace.get("horizontalpodautoscaler", NAME) is None
            assert release.deployment()["spec"]["replicas"] == 2
            release.rollback(1)
            release.wait_ready(2)
            assert release.namespace.get("horizontalpodautoscaler", NAME) is not None
            assert environment(release)["LOG_LEVEL"] == "info"
            release.upgrade(autoscaling__enabled="false", replicas="3")
            release.wait_ready(3)
            release.upgrade(autoscaling__enabled="true", replicas="null")
            assert release.namespace.get("horizontalpodautoscaler", NAME) is not None
            assert release.deployment()["spec"]["replicas"] == 3, "as many as there were, until the autoscaler acts"
        traffic.assert_flawless(2)
        assert traffic.verdict.by_version.keys() == {"2.0.0"}
        assert release.settled()["version"] == "2.0.0"
        assert {target(one) for one in release.pods()} == {"2.0.0"}


def state(release: Release, pod: str) -> str:
    """Why a pod is not Ready, by its own word; empty while it does not answer."""
    status = release.status_of(pod)
    return str((status.get("failure") or {}).get("reason", ""))


def target(pod: Object) -> str:
    return str(json.loads(pod["metadata"]["annotations"][TARGET])["version"])


def environment(release: Release) -> dict[str, str]:
    (container,) = release.deployment()["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}
