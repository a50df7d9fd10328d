"""The autoscaler adds pods under load and takes them away after it; every pod it adds serves what is settled."""

import pytest

from harness.cluster import Namespace
from harness.load_pod import Load
from harness.release import CHURN, NAME, fresh
from harness.traffic import under_load
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

QUICK = '{"scaleDown":{"stabilizationWindowSeconds":15,"policies":[{"type":"Pods","value":2,"periodSeconds":15}]}}'


def test_two_pods_become_four_under_load_and_two_again() -> None:
    with fresh("autoscaling") as release:
        release.push(CHURN)
        release.install(
            autoscaling__enabled="true",
            autoscaling__minReplicas="2",
            autoscaling__maxReplicas="4",
            autoscaling__behavior=QUICK,
            # A share that probes alone do not use up, and a load that leaves the machine some room does.
            resources__requests__cpu="50m",
        )
        release.apply_version("2.0.0")
        release.wait_live("2.0.0")
        release.wait_ready(2)
        wait_until(lambda: has_metrics(release.namespace), 120, what="the autoscaler has numbers")
        # What pods used to start does not count as load: it is over.
        wait_until(lambda: release.deployment()["status"].get("replicas") == 2, 120, what="two pods at rest")
        with under_load(release.namespace, rate=2) as traffic:
            # A compiled model takes a millisecond of processor time a request.
            more = [Load(release.namespace.name, keep_alive=True, rate=80) for _ in range(3)]
            try:
                wait_until(lambda: len(traffic.readiness.ready_now()) == 4, 180, what="four pods Ready")
            finally:
                for load in more:
                    load.stop()
            wait_until(lambda: len(traffic.readiness.ready_now()) == 2, 240, what="two pods again")
        assert all(record["ok"] for load in more for record in load.records)
        assert traffic.verdict.by_version.keys() == {"2.0.0"}
        assert set(traffic.readiness.targets.values()) == {"2.0.0"}
        traffic.assert_flawless(2)


def has_metrics(namespace: Namespace) -> bool:
    autoscaler = namespace.get("horizontalpodautoscaler", NAME) or {}
    conditions = autoscaler.get("status", {}).get("conditions", [])
    return any(one["type"] == "ScalingActive" and one["status"] == "True" for one in conditions)
