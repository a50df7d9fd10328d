"""What an engineer does in the middle of a rollout, under load: scales, undoes, drains. Nobody who asks notices."""

import pytest

from harness.cluster import CommandFailed
from harness.release import Release
from harness.traffic import under_load
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

IN_PLACE = {"type": "InPlace", "maxParallel": 1}


@pytest.fixture
def on_old(release: Release) -> Release:
    """Three pods that serve 1.2.0, and no other version."""
    release.delete_version("2.0.0")
    release.wait_live("1.2.0")
    release.wait_ready(3)
    return release


def test_ten_pods_and_two_again(on_old: Release) -> None:
    with under_load(on_old.namespace) as traffic:
        on_old.apply_version("2.0.0", strategy=IN_PLACE)
        on_old.wait_rollout()
        on_old.namespace.kubectl("scale", "deployment/churn", "--replicas=10")
        wait_until(lambda: len(traffic.readiness.ready_now()) > 5, 90, what="more than five pods Ready")
        on_old.namespace.kubectl("scale", "deployment/churn", "--replicas=2")
        on_old.wait_live("2.0.0", 120)
        on_old.wait_ready(2)
    on_old.namespace.kubectl("scale", "deployment/churn", "--replicas=3")  # as those below want it
    on_old.wait_ready(3)
    traffic.assert_flawless(2)


def test_an_undo_by_kubectl(on_old: Release) -> None:
    with under_load(on_old.namespace) as traffic:
        on_old.apply_version("2.0.0")
        wait_until(lambda: (on_old.rollout() or {}).get("phase") == "applied", 30, what="a template that is written")
        on_old.namespace.kubectl("rollout", "undo", "deployment/churn")
        assert on_old.wait_stalled("2.0.0") == "TemplateChanged"
        on_old.wait_live("1.2.0")
        on_old.wait_ready(3)
    traffic.assert_flawless()


def test_a_drain(on_old: Release) -> None:
    with under_load(on_old.namespace) as traffic:
        on_old.apply_version("2.0.0", strategy=IN_PLACE)
        on_old.wait_rollout()
        for pod in on_old.pods():
            traffic.readiness.take(pod["metadata"]["name"])
            _evict(on_old, pod["metadata"]["name"])
        on_old.wait_live("2.0.0", 120)
        on_old.wait_ready(3)
    traffic.assert_flawless()


def _evict(release: Release, pod: str) -> None:
    """Until the budget allows it, as `kubectl drain` does."""

    def is_evicted() -> bool:
        try:
            release.namespace.evict(pod)
        except CommandFailed as failed:
            if "TooManyRequests" not in str(failed):
                raise
            return False
        return True

    wait_until(is_evicted, 120, what=f"the eviction of {pod}")
