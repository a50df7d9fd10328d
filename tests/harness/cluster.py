"""The cluster as a test sees it: kubectl and helm as commands, objects as JSON, waiting for a fact and not for a time.

Knows nothing of modelroll; `release` does.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

Object = dict[str, Any]


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
        text = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
        found: Object | None = json.loads(text) if text.strip() else None
        return found

    def items(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind, or those that a label selector finds."""
        text = self.kubectl("get", kind, f"--selector={selector}", "--output=json")
        found: list[Object] = json.loads(text)["items"]
        return found

    def apply(self, *objects: Object) -> None:
        """Apply objects, as a person would: not server-side, and with validation."""
        documents = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename=-", given=json.dumps(documents))

    def patch(self, kind: str, name: str, change: Object) -> None:
        """Merge a change into an object."""
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}")

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
