"""A release of the chart in a namespace of its own: claim, push, install, and what a test asks of it afterwards.

Knows names and fields of modelroll's objects as people see them (docs/design/0001-seams.md), nothing of how they
come about.
"""

import contextlib
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import api
from harness.cluster import ROOT, CommandFailed, Namespace, Object, run
from harness.waiting import wait_until

NAME = "churn"
CLAIM = "models"
RETRY = "modelroll.dev/retry"
CHURN = ROOT / "models" / "churn"
CHART = str(ROOT / "charts" / "modelroll")
SERVERS = "app.kubernetes.io/component=server,app.kubernetes.io/instance=churn"
OPERATORS = "app.kubernetes.io/component=operator,app.kubernetes.io/instance=churn"


def digest_of(artifact: Path) -> str:
    """The digest of an artifact: of its manifest, which holds those of its files."""
    return f"sha256:{hashlib.sha256((artifact / 'modelroll.json').read_bytes()).hexdigest()}"


def _image_settings() -> dict[str, str]:
    settings: dict[str, str] = {}
    for prefix, variable in (("image", "MODELROLL_SERVER_IMAGE"), ("operator.image", "MODELROLL_OPERATOR_IMAGE")):
        repository, _, tag = os.environ[variable].rpartition(":")
        settings |= {f"{prefix}.repository": repository, f"{prefix}.tag": tag}
    return settings


class Release:
    """The release `churn` in one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.digests = {version: digest_of(CHURN / version) for version in ("1.2.0", "2.0.0")}

    def push(self, directory: Path) -> str:
        """Put versions onto the claim."""
        command = [sys.executable, "-m", "modelroll_server", "push", str(directory), "--claim", CLAIM]
        image = os.environ["MODELROLL_SERVER_IMAGE"]
        return run(*command, "--namespace", self.namespace.name, "--image", image)

    def install(self, chart: str = CHART, *, name: str = NAME, **settings: str) -> None:
        """`helm install`, without a wait. A keyword has no dots: log__level is the value log.level."""
        base = {"persistence.existingClaim": CLAIM, "model.path": "churn/1.2.0", "model.digest": self.digests["1.2.0"]}
        # On a small node pods that drain still count: with the chart's own share their successors would not fit.
        share = {"resources.requests.cpu": "50m", "resources.requests.memory": "200Mi"}
        flags = _flags(_image_settings() | base | share | _dotted(settings))
        # Helm applies a chart's CRD with each release: of another chart it would be another one, which is refused.
        crd = [] if chart == CHART else ["--skip-crds"]
        self.namespace.helm("install", name, chart, *crd, *flags)

    def upgrade(self, **settings: str) -> None:
        """`helm upgrade` to the present chart with the values of before and these, without a wait."""
        self.namespace.helm("upgrade", NAME, CHART, "--reset-then-reuse-values", *_flags(_dotted(settings)))

    def rollback(self, revision: int) -> None:
        """`helm rollback`, without a wait."""
        self.namespace.helm("rollback", NAME, str(revision))

    def wait_ready(self, pods: int, deadline: float = 90) -> None:
        """Wait until so many pods are available, and no others are there."""

        def counts() -> bool:
            deployment = self.deployment()
            status = deployment["status"]
            if status.get("observedGeneration") != deployment["metadata"]["generation"]:
                return False
            return {status.get(each) for each in ("replicas", "updatedReplicas", "availableReplicas")} == {pods}

        wait_until(counts, deadline, what=f"{pods} pods ready")

    def deployment(self) -> Object:
        """The Deployment of the servers."""
        found = self.namespace.get("deployment", NAME)
        assert found is not None, "there is no Deployment"
        return found

    def pods(self) -> list[Object]:
        """The servers' pods, without those on their way out."""
        return [
            one for one in self.namespace.items("pods", selector=SERVERS) if "deletionTimestamp" not in one["metadata"]
        ]

    def status_of(self, pod: str) -> Object:
        """A pod's own word on itself (`GET :8081/status`); empty while it does not answer."""
        text = api.said(self.namespace.name, pod, 8081, "status")
        status: Object = {} if text is None else json.loads(text)
        return status

    def delete_operator(self) -> None:
        """Delete the operator's pod, in the middle of whatever it does; it has the time to let go of its Lease."""
        how = ("--wait=false", "--grace-period=0", "--force")
        self.namespace.kubectl("delete", "pods", f"--selector={OPERATORS}", *how)

    def kill_operator(self) -> bool:
        """Kill the operator's process: its Lease is held until it runs out. Another pod takes its place.

        The container is not left to start again: after a few times the kubelet would wait for minutes.

        Returns:
            Whether there was a process to kill: it may not run yet.
        """
        killed = False
        for pod in self.namespace.items("pods", selector=OPERATORS):
            with contextlib.suppress(CommandFailed):
                self.namespace.kill(pod["metadata"]["name"])
                killed = True
        self.delete_operator()
        return killed

    def apply_version(self, version: str, *, path: str = "", digest: str | None = "", **spec: object) -> None:
        """Apply a ModelVersion; with the digest that was packed, if none is given, and without any for None."""
        whole = {"model": NAME, "version": version, "path": path or f"churn/{version}"} | spec
        if digest is not None:
            whole["digest"] = digest or self.digests[version]
        named = {"apiVersion": "modelroll.dev/v1alpha1", "kind": "ModelVersion", "metadata": {"name": _named(version)}}
        self.namespace.apply(named | {"spec": whole})

    def retry(self, version: str, why: str, **spec: object) -> None:
        """Have a ModelVersion tried again, though nothing else may have changed, and change its spec with that."""
        change = {"metadata": {"annotations": {RETRY: why}}, "spec": spec}
        self.namespace.patch("modelversion", _named(version), change)

    def change(self, version: str, **spec: object) -> None:
        """Change the spec of a ModelVersion."""
        self.namespace.patch("modelversion", _named(version), {"spec": spec})

    def delete_version(self, version: str) -> None:
        """Delete a ModelVersion, if it is there."""
        self.namespace.kubectl("delete", "modelversion", _named(version), "--ignore-not-found", "--timeout=60s")

    def condition(self, version: str, kind: str) -> Object:
        """A condition of a ModelVersion; empty where nothing is said yet of what is asked for now."""
        return condition_of(self.namespace.get("modelversion", _named(version)) or {}, kind)

    def events(self, version: str) -> list[Object]:
        """The Events of a ModelVersion."""
        about = ("ModelVersion", _named(version))
        found = self.namespace.items("events")
        return [one for one in found if (one["involvedObject"]["kind"], one["involvedObject"]["name"]) == about]

    def wait_live(self, version: str, deadline: float = 90) -> None:
        """Wait until a version is live and its rollout has ended."""

        def live() -> bool:
            said = self.condition(version, "Live").get("status")
            return said == "True" and self.settled().get("version") == version and self.rollout() is None

        wait_until(live, deadline, what=f"{version} live, no rollout")

    def wait_stalled(self, version: str, deadline: float = 90) -> str:
        """Wait until a version is given up and what was done is undone; the reason."""

        def stalled() -> str:
            condition = self.condition(version, "Stalled")
            ended = condition.get("status") == "True" and self.rollout() is None
            return str(condition["reason"]) if ended else ""

        return wait_until(stalled, deadline, what=f"{version} Stalled, no rollout")

    def wait_rollout(self, deadline: float = 30) -> Object:
        """Wait until a rollout is under way; the rollout."""
        return wait_until(lambda: self.rollout() or {}, deadline, what="a rollout")

    def settled(self) -> Object:
        """What all pods converge to; empty before the operator's first word."""
        return self._state("settled")

    def rollout(self) -> Object | None:
        """The rollout that is under way."""
        found: Object | None = self._state("operator").get("rollout")
        return found

    def _state(self, key: str) -> Object:
        found = self.namespace.get("configmap", f"{NAME}-target") or {}
        text = found.get("data", {}).get(key)
        state: Object = json.loads(text) if text else {}
        return state

    def diagnose(self) -> str:
        """What a person would ask for first."""
        parts = []
        for command in (
            ("get", "all,modelversions,configmaps,leases", "--output=wide"),
            ("get", "modelversions", "--output=yaml"),
            ("get", "configmap", f"{NAME}-target", "--output=yaml", "--ignore-not-found"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", f"deployment/{NAME}-operator", "--tail=120"),
            ("logs", f"--selector={SERVERS}", "--all-containers", "--prefix", "--tail=15"),
        ):
            try:
                said = self.namespace.kubectl(*command)
            except CommandFailed as failed:
                said = str(failed)
            parts.append(f"--- kubectl {' '.join(command)}\n{said[-8000:]}")
        return "\n".join(parts)


def condition_of(found: Object, kind: str) -> Object:
    """A ModelVersion's condition, if it is about its present spec and its present call to try again."""
    status = found.get("status", {})
    retry = found.get("metadata", {}).get("annotations", {}).get(RETRY)
    if retry is not None and status.get("lastHandledRetry") != retry:
        return {}
    conditions: list[Object] = status.get("conditions", [])
    generation = found.get("metadata", {}).get("generation")
    fitting = (one for one in conditions if one["type"] == kind and one.get("observedGeneration") == generation)
    return next(fitting, {})


def _named(version: str) -> str:
    return f"{NAME}-{version}"


def _dotted(settings: dict[str, str]) -> dict[str, str]:
    return {key.replace("__", "."): value for key, value in settings.items()}


def _flags(settings: dict[str, str]) -> Iterator[str]:
    for key, value in settings.items():
        if key.endswith((".tag", ".digest", ".path")):
            yield "--set-string"  # a tag of digits alone is a string all the same
        else:
            yield "--set-json" if value.startswith(("{", "[")) else "--set"
        yield f"{key}={value}"


@contextmanager
def fresh(purpose: str) -> Iterator[Release]:
    """A namespace with a claim and no release yet; all of it goes at the end. After a failure its state is told."""
    namespace = Namespace(f"e2e-{purpose}-{uuid.uuid4().hex[:6]}")
    release = Release(namespace)
    namespace.create()
    try:
        run(str(ROOT / "hack" / "cluster"), "volume", CLAIM, namespace.name)
        yield release
    except Exception:
        sys.stderr.write(f"{release.diagnose()}\n")
        raise
    finally:
        namespace.delete()


@contextmanager
def installed(purpose: str, **settings: str) -> Iterator[Release]:
    """Three pods on 1.2.0, both versions on the claim, no autoscaler."""
    with fresh(purpose) as release:
        release.push(CHURN)
        release.install(**{"autoscaling__enabled": "false", "replicas": "3", **settings})
        release.apply_version("1.2.0")
        release.wait_ready(3)
        release.wait_live("1.2.0")
        yield release
