"""`helm uninstall` leaves what its notes say it leaves, and nothing else."""

import json

import pytest

from harness.cluster import Object
from harness.release import CHURN, CLAIM, NAME, Release, fresh
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

EVERYWHERE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
"""What Kubernetes puts into every namespace."""
KINDS = (
    "configmap,secret,serviceaccount,role,rolebinding,deployment,replicaset,pod,service,endpointslice,"
    "horizontalpodautoscaler,poddisruptionbudget,persistentvolumeclaim,lease,job,modelversion"
)


def test_uninstall_leaves_what_the_notes_say() -> None:
    with fresh("uninstall") as release:
        release.push(CHURN)
        release.install(autoscaling__enabled="true")
        release.apply_version("1.2.0")
        release.wait_live("1.2.0")
        notes = release.namespace.helm("get", "notes", NAME)
        release.namespace.helm("uninstall", NAME, "--wait", "--timeout=120s")
        stays = {f"persistentvolumeclaim/{CLAIM}", "modelversion/churn-1.2.0", "lease/modelroll-operator"}
        wait_until(lambda: left(release) == stays | EVERYWHERE, 60, what=f"only {stays}, last {left(release)}")
        assert release.namespace.kubectl("get", "crd", "modelversions.modelroll.dev")
        assert "leaves the CRD, the ModelVersions and the Lease modelroll-operator." in notes
        assert_a_version_can_be_deleted(release)


def assert_a_version_can_be_deleted(release: Release) -> None:
    """Nobody is there to take a finalizer away: there must be none."""
    release.delete_version("1.2.0")
    assert release.namespace.items("modelversions") == []


def left(release: Release) -> set[str]:
    """All that is in the namespace."""
    found: list[Object] = json.loads(release.namespace.kubectl("get", KINDS, "--output=json"))["items"]
    return {f"{one['kind'].lower()}/{name(one)}" for one in found}


def name(one: Object) -> str:
    return str(one["metadata"]["name"])
