"""The cluster as a test sees it: kubectl and helm as commands for what people do, objects as JSON.

Knows nothing of modelroll; `release` does.
"""

import json
import subprocess
from pathlib import Path

from harness import api

ROOT = Path(__file__).resolve().parents[2]

Object = api.Object


class CommandFailed(AssertionError):
    """A command ended with an error; the message holds what it wrote."""


def run(*command: str, given: str | None = None, timeout: float = 180) -> str:
    """Run a command from the root of the project; what it wrote to stdout."""
    done = subprocess.run(command, input=given, check=False, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    if done.returncode != 0:
        said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        raise CommandFailed(f"{' '.join(command)}: exit {done.returncode}\n{said}")
    return done.stdout


class Namespace:
    """kubectl and helm in one namespace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, given: str | None = None, timeout: float = 180) -> str:
        """Run kubectl; what it wrote to stdout."""
        return run("kubectl", "--namespace", self.name, *arguments, given=given, timeout=timeout)

    def helm(self, *arguments: str, timeout: float = 180) -> str:
        """Run helm; what it wrote to stdout."""
        return run("helm", "--namespace", self.name, *arguments, timeout=timeout)

    def get(self, kind: str, name: str) -> Object | None:
        """An object, or None where there is none."""
        return api.one(self.name, kind, name)

    def items(self, *kinds: str, selector: str = "") -> list[Object]:
        """All objects of some kinds, or those that a label selector finds."""
        return [found for kind in kinds for found in api.several(self.name, kind, selector)]

    def kill(self, pod: str) -> None:
        """End a pod's main process by SIGKILL."""
        run(str(ROOT / "hack" / "cluster"), "kill", pod, self.name)

    def apply(self, *objects: Object) -> None:
        """Apply objects, as a person would: not server-side, and with validation."""
        documents = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename=-", given=json.dumps(documents))

    def patch(self, kind: str, name: str, change: Object) -> None:
        """Merge a change into an object."""
        api.patch(self.name, kind, name, change)

    def evict(self, pod: str) -> None:
        """Ask for a pod's eviction, by the call that `kubectl drain` makes; it may be gone already.

        Raises:
            CommandFailed: A budget does not allow it now.
        """
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.name}/pods/{pod}/eviction"
        try:
            self.kubectl("create", "--raw", path, "--filename=-", given=json.dumps(body))
        except CommandFailed as failed:
            if "NotFound" not in str(failed):
                raise

    def create(self) -> None:
        """Make the namespace; its pods must meet the restricted standard."""
        run("kubectl", "create", "namespace", self.name)
        run("kubectl", "label", "namespace", self.name, "pod-security.kubernetes.io/enforce=restricted")

    def delete(self) -> None:
        """Delete the namespace and, as no class reclaims them, the static volumes that its claims were bound to.

        Nobody waits for the end of it: the pods drain while the next test sets up its own.
        """
        run("kubectl", "delete", "namespace", self.name, "--wait=false")
        for volume in json.loads(run("kubectl", "get", "persistentvolumes", "--output=json"))["items"]:
            if (volume["spec"].get("claimRef") or {}).get("namespace") == self.name:
                run("kubectl", "delete", "persistentvolume", volume["metadata"]["name"], "--wait=false")
