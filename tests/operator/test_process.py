"""The operator as a process against a real API server and its controllers; the pods' node is a stand-in."""

import signal

import httpx
import pytest

from harness.cluster import Namespace, run
from harness.operators import (
    Operators,
    apply,
    condition,
    holder,
    install_crd,
    reasons_told,
    rollout,
    rollout_command,
    state,
    uids,
    versions_of_objects,
    wait_live,
    wait_reason,
)
from harness.waiting import holds_for, wait_until
from simulation.kubelet import Kubelet, deployment

pytestmark = pytest.mark.needs("cluster", "kubectl")


def test_versions_go_live_a_bad_one_stalls_and_then_nothing_is_written(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("one")
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    apply(namespace, "2.0.0")
    wait_live(namespace, "2.0.0")
    wait_reason(namespace, "1.2.0", "Ready", "Superseded")

    apply(namespace, "2.1.0")
    wait_reason(namespace, "2.1.0", "Stalled", "GoldenRowsDiffer")
    wait_live(namespace, "2.0.0")
    assert state(namespace)["settled"]["version"] == "2.0.0"
    assert reasons_told(namespace, "churn-2.1.0") == ["GoldenRowsDiffer", "Progressing"], "each transition is told once"
    namespace.kubectl("annotate", "modelversion", "churn-2.1.0", f"modelroll.dev/retry={'x' * 5000}")
    twice = ["GoldenRowsDiffer"] * 2 + ["Progressing"] * 2
    wait_until(lambda: reasons_told(namespace, "churn-2.1.0") == twice, 30, what="a second try, and its end")
    wait_live(namespace, "2.0.0")

    wait_until(lambda: len(namespace.items("pods")) == 2, what="the pods of the attempt are gone")
    before = versions_of_objects(namespace)
    holds_for(lambda: versions_of_objects(namespace) == before, 3, what="nothing is written but the Lease")

    apply(namespace, "2.0.0", withdrawn=True)
    wait_live(namespace, "1.2.0")
    assert condition(namespace, "2.0.0", "Live")["status"] == "False"

    apply(namespace, "1.2.0", withdrawn=True)
    wait_until(lambda: "NoEligibleVersion" in reasons_told(namespace, "churn"), what="word that nothing is eligible")
    assert state(namespace)["settled"]["version"] == "1.2.0"


def test_an_operator_that_starts_before_the_crd_waits_for_it(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    run("kubectl", "delete", "crd", "modelversions.modelroll.dev")
    try:
        operators.start("one")
        wait_until(lambda: "the CRD of ModelVersion is not installed" in operators.log("one"), 20, what="word of it")
        ready = f"http://127.0.0.1:{operators.ports['one']}/readyz"
        assert httpx.get(ready).status_code == 503
    finally:
        install_crd()
    wait_until(lambda: httpx.get(ready).status_code == 200, 20, what="the operator ready")
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")


def test_an_operator_that_is_killed_in_a_rollout_is_replaced_without_a_trace(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("one")
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    apply(namespace, "2.0.0")
    began = wait_until(lambda: rollout(namespace), what="a rollout")
    operators.end("one", signal.SIGKILL)
    operators.start("one")  # the same pod's container: the Lease is still its own
    wait_live(namespace, "2.0.0")
    assert state(namespace)["settled"]["revision"] == began["revision"]


def test_a_standby_takes_over_at_once_and_ends_when_it_is_told_to(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("one")
    wait_until(lambda: holder(namespace) == "one", what="the first holds the Lease")
    for name in ("two", "three"):
        operators.start(name)
        wait_until(lambda name=name: "standing by" in operators.log(name), what=f"{name} stands by")  # type: ignore[misc]
    assert operators.end("three", signal.SIGTERM) == 0, "a standby ends by itself, not by the default of the signal"
    assert operators.end("one", signal.SIGTERM) == 0
    wait_until(lambda: holder(namespace) == "two", 8, what="the second holds the Lease before it has run out")
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")


def test_a_deployment_that_is_made_again_gets_its_version_again(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("one")
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    namespace.kubectl("delete", "deployment", "churn", "--wait=true")
    wait_reason(namespace, "1.2.0", "Stalled", "DeploymentNotFound")
    namespace.apply(deployment("churn", "churn", kubelet.port))
    wait_live(namespace, "1.2.0")
    owner = (namespace.get("configmap", "churn-target") or {})["metadata"]["ownerReferences"][0]["uid"]
    assert owner == (namespace.get("deployment", "churn") or {})["metadata"]["uid"]


def test_a_second_deployment_of_the_model_makes_a_version_ambiguous_until_it_is_gone(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(
        deployment("churn", "churn", kubelet.port), deployment("churn-eu", "churn", kubelet.port, replicas=0)
    )
    operators.start("one")
    apply(namespace, "1.2.0")
    wait_reason(namespace, "1.2.0", "Stalled", "DeploymentAmbiguous")
    assert state(namespace) == {}, "nothing begins"
    namespace.kubectl("delete", "deployment", "churn-eu")
    wait_live(namespace, "1.2.0")


def test_pods_move_in_place_and_back_and_none_is_replaced(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port, replicas=4))
    operators.start("one")
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    before = uids(namespace)
    in_place = {"type": "InPlace", "maxParallel": 2}
    apply(namespace, "2.0.0", strategy=in_place)
    followed = rollout_command(namespace, "status", "churn-2.0.0", "--timeout=60")
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.splitlines()[-1] == (
        "churn-2.0.0: Live, 4 of 4 pods serve 2.0.0: every new pod serves 2.0.0"
    )
    wait_live(namespace, "2.0.0")
    assert uids(namespace) == before

    apply(namespace, "2.1.0", strategy=in_place)
    bad = rollout_command(namespace, "status", "churn-2.1.0")
    assert bad.returncode == 1
    assert "churn-2.1.0 is not live: GoldenRowsDiffer: 2.1.0 is bad" in bad.stderr
    wait_live(namespace, "2.0.0")
    assert uids(namespace) == before
    outcomes = rollout_command(namespace, "history", "churn").stdout
    assert [line.split()[1:4] for line in outcomes.splitlines() if "churn-" in line] == [
        ["churn-2.1.0", "2.1.0", "Failed"],
        ["churn-2.0.0", "2.0.0", "Live"],
        ["churn-1.2.0", "1.2.0", "Live"],
    ]

    assert rollout_command(namespace, "undo", "churn-2.0.0").returncode == 0
    assert rollout_command(namespace, "status", "churn-2.0.0", "--no-watch").returncode == 1
    wait_live(namespace, "1.2.0")  # by its own strategy: new pods
    assert not uids(namespace) & before


def test_a_rollout_that_is_paused_begins_when_it_is_resumed(
    namespace: Namespace, kubelet: Kubelet, operators: Operators
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("one")
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    before = uids(namespace)
    apply(namespace, "2.0.0", paused=True, strategy={"type": "InPlace"})
    wait_reason(namespace, "2.0.0", "Ready", "Paused")
    late = rollout_command(namespace, "status", "churn-2.0.0", "--timeout=1")
    assert late.returncode == 1
    assert "churn-2.0.0 is not live after 1 s: Paused" in late.stderr
    assert rollout_command(namespace, "resume", "churn-2.0.0").returncode == 0
    wait_live(namespace, "2.0.0")
    assert rollout_command(namespace, "pause", "churn-2.0.0").returncode == 0
    assert uids(namespace) == before
    missing = rollout_command(namespace, "pause", "churn-9.9.9")
    assert missing.returncode == 1
    assert '"churn-9.9.9" not found' in missing.stderr
