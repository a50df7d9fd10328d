"""The operator as a process on a real API server, and what a test asks of it: ModelVersions, rollouts, Events.

Owns the processes. Who looks after the pods is the test's affair.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import ports
from harness.cluster import ROOT, Namespace, run
from harness.waiting import wait_until

COMMAND = Path(sys.executable).with_name("modelroll-operator")
FAILING = {"2.1.0": "GoldenRowsDiffer"}
LEASE = "modelroll-operator"


class Operators:
    """Processes of the operator in one namespace."""

    def __init__(self, namespace: str, logs: Path) -> None:
        self._namespace = namespace
        self._logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}

    def start(self, name: str, *, clock: str = "", **variables: str) -> subprocess.Popen[bytes]:
        """Start one, with further variables in its environment, and a clock that is wrong by so much, such as `+1h`."""
        command = ["faketime", "--exclude-monotonic", "-m", "-f", clock, str(COMMAND)] if clock else [str(COMMAND)]
        self.ports[name] = ports.reserve()
        environment = {"NAMESPACE": self._namespace, "POD_NAME": name, "MANAGEMENT_PORT": str(self.ports[name])}
        if clock:
            environment["KUBECONFIG"] = str(self._unverified())
        with (self._logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, env=os.environ | environment | variables, stdout=log, stderr=log, start_new_session=True
            )
        return self.running[name]

    def _unverified(self) -> Path:
        """A way in that looks at no certificate: the cluster's may be younger than a clock is slow."""
        document = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        for each in document["clusters"]:
            each["cluster"].pop("certificate-authority", None)
            each["cluster"].pop("certificate-authority-data", None)
            each["cluster"]["insecure-skip-tls-verify"] = True
        place = self._logs / "unverified.kubeconfig"
        place.write_text(yaml.safe_dump(document))
        return place

    def kill_all(self) -> None:
        """End all of them, and what runs them: faketime waits for the program that it began."""
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)

    def log(self, name: str) -> str:
        """What one has written."""
        return (self._logs / f"{name}.log").read_text()

    def end(self, name: str, number: signal.Signals) -> int:
        """Send one a signal, and wait until it has ended; its exit status."""
        process = self.running.pop(name)
        process.send_signal(number)
        return process.wait(60)


def install_crd() -> None:
    run("kubectl", "apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "k8s" / "crd"))
    run("kubectl", "wait", "--for=condition=Established", "--timeout=30s", "crd/modelversions.modelroll.dev")


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
        items = {one["metadata"]["name"]: one for one in namespace.items("modelversions", "configmaps")}
        memory = _document(items.get("churn-target", {}).get("data", {}).get("operator", "{}"))
        conditions = items[f"churn-{version}"].get("status", {}).get("conditions", [])
        true = {one["type"] for one in conditions if one["status"] == "True"}
        return {"Live", "Ready", "RolledOut"} <= true and "rollout" not in memory

    wait_until(is_live, 60, what=f"{version} live")


def wait_reason(namespace: Namespace, version: str, kind: str, reason: str) -> None:
    wait_until(
        lambda: condition(namespace, version, kind).get("reason") == reason, 60, what=f"{version} {kind} {reason}"
    )


def state(namespace: Namespace, deployment: str = "churn") -> dict[str, Any]:
    found = namespace.get("configmap", f"{deployment}-target") or {}
    return {key: _document(text) for key, text in found.get("data", {}).items()}


def _document(text: str) -> Any:
    """The JSON document in a text; an empty one where somebody scribbled over it."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def rollout(namespace: Namespace) -> Any:
    return state(namespace).get("operator", {}).get("rollout")


def versions_of_objects(namespace: Namespace) -> dict[str, str]:
    """Every object's resourceVersion: what changes when anything is written."""
    items = namespace.items("modelversions", "deployments", "pods", "configmaps", "events")
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in items}


def reasons_told(namespace: Namespace, name: str) -> list[str]:
    return sorted(one["reason"] for one in namespace.items("events") if one["involvedObject"]["name"] == name)


def holder(namespace: Namespace) -> str:
    lease = namespace.get("lease", LEASE) or {}
    return str(lease.get("spec", {}).get("holderIdentity", ""))


def rollout_command(namespace: Namespace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`modelroll rollout` as a person runs it."""
    command = [sys.executable, "-m", "modelroll_server", "rollout", *arguments, "--namespace", namespace.name]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def uids(namespace: Namespace) -> set[str]:
    return {one["metadata"]["uid"] for one in namespace.items("pods")}
