"""The operator as a process against a real API server and its controllers; the pods' node is a stand-in."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.cluster import ROOT, Namespace, run
from harness.waiting import holds_for, wait_until
from simulation.kubelet import Kubelet, deployment

pytestmark = pytest.mark.needs("cluster", "kubectl")

COMMAND = Path(sys.executable).with_name("modelroll-operator")
FAILING = {"2.1.0": "GoldenRowsDiffer"}
LEASE = "modelroll-operator"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Operators:
    """Processes of the operator in one namespace."""

    def __init__(self, namespace: str, logs: Path) -> None:
        self._namespace = namespace
        self._logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start one."""
        self.ports[name] = free_port()
        environment = {"NAMESPACE": self._namespace, "POD_NAME": name, "MANAGEMENT_PORT": str(self.ports[name])}
        with (self._logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen([COMMAND], env=os.environ | environment, stdout=log, stderr=log)
        return self.running[name]

    def log(self, name: str) -> str:
        """What one has written."""
        return (self._logs / f"{name}.log").read_text()

    def end(self, name: str, number: signal.Signals) -> int:
        """Send one a signal, and wait until it has ended; its exit status."""
        process = self.running.pop(name)
        process.send_signal(number)
        return process.wait(20)


def install_crd() -> None:
    run("kubectl", "apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "k8s" / "crd"))
    run("kubectl", "wait", "--for=condition=Established", "--timeout=30s", "crd/modelversions.modelroll.dev")


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    install_crd()
    name = f"operator-{secrets.token_hex(4)}"
    run("kubectl", "create", "namespace", name)
    yield Namespace(name)
    run("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def kubelet(namespace: Namespace) -> Iterator[Kubelet]:
    with Kubelet(namespace.name, FAILING) as one:
        yield one


@pytest.fixture
def operators(namespace: Namespace, tmp_path: Path) -> Iterator[Operators]:
    """No operator runs, and no model is there, when a test begins."""
    found = Operators(namespace.name, tmp_path)
    yield found
    for process in found.running.values():
        process.kill()
        process.wait(20)
    namespace.kubectl("delete", "modelversions,deployments", "--all", "--wait=true")
    namespace.kubectl("delete", "lease", LEASE, "--ignore-not-found")
    wait_until(lambda: not namespace.items("pods"), 30, what="no pods")


def apply(namespace: Namespace, version: str, **spec: Any) -> None:
    item = {
        "apiVersion": "modelroll.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"churn-{version}"},
        "spec": {"model": "churn", "version": version, "path": f"churn/{version}"} | spec,
    }
    namespace.apply(item)


def condition(namespace: Namespace, version: str, kind: str) -> dict[str, Any]:
    found = namespace.get("modelversion", f"churn-{version}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def wait_live(namespace: Namespace, version: str) -> None:
    def is_live() -> bool:
        items = {one["metadata"]["name"]: one for one in namespace.items("modelversions,configmaps")}
        memory = json.loads(items.get("churn-target", {}).get("data", {}).get("operator", "{}"))
        conditions = items[f"churn-{version}"].get("status", {}).get("conditions", [])
        true = {one["type"] for one in conditions if one["status"] == "True"}
        return {"Live", "Ready", "RolledOut"} <= true and "rollout" not in memory

    wait_until(is_live, 40, what=f"{version} live")


def wait_reason(namespace: Namespace, version: str, kind: str, reason: str) -> None:
    wait_until(
        lambda: condition(namespace, version, kind).get("reason") == reason, 30, what=f"{version} {kind} {reason}"
    )


def state(namespace: Namespace, deployment: str = "churn") -> dict[str, Any]:
    found = namespace.get("configmap", f"{deployment}-target") or {}
    return {key: json.loads(text) for key, text in found.get("data", {}).items()}


def rollout(namespace: Namespace) -> Any:
    return state(namespace).get("operator", {}).get("rollout")


def versions_of_objects(namespace: Namespace) -> dict[str, str]:
    """Every object's resourceVersion: what changes when anything is written."""
    items = namespace.items("modelversions,deployments,pods,configmaps,events")
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in items}


def reasons_told(namespace: Namespace, name: str) -> list[str]:
    return sorted(one["reason"] for one in namespace.items("events") if one["involvedObject"]["name"] == name)


def holder(namespace: Namespace) -> str:
    lease = namespace.get("lease", LEASE) or {}
    return str(lease.get("spec", {}).get("holderIdentity", ""))


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
