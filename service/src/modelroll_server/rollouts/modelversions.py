"""The ModelVersions of a cluster, through the user's `kubectl`."""

import json
from datetime import UTC, datetime

from modelroll_server.errors import KubectlFailed
from modelroll_server.kubectl import Kubectl
from modelroll_server.rollouts.view import RETRY, Json

KIND = "modelversions.modelroll.dev"


class ModelVersions:
    """Reads and changes the ModelVersions of one namespace."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def get(self, name: str) -> Json:
        """One, by its name.

        Raises:
            KubectlFailed: There is none, or it cannot be read.
        """
        found: Json = self._kubectl.get(KIND, name)
        return found

    def of_the_model(self, name: str) -> list[Json]:
        """All of the model that is called so, or that the ModelVersion of this name is of.

        Raises:
            KubectlFailed: There is neither, or they cannot be read.
        """
        items: list[Json] = self._kubectl.get(KIND)["items"]
        model = next((one["spec"]["model"] for one in items if one["metadata"]["name"] == name), name)
        found = [one for one in items if one["spec"]["model"] == model]
        if not found:
            raise KubectlFailed(f"there is neither a ModelVersion {name} nor one of a model {name}")
        return found

    def change(self, name: str, **spec: bool) -> Json:
        """Set fields of the spec; the ModelVersion as it is then.

        Raises:
            KubectlFailed: There is none, or it cannot be changed.
        """
        return self._patch(name, {"spec": spec})

    def retry(self, name: str) -> Json:
        """Ask for another try; the ModelVersion as it is then.

        Raises:
            KubectlFailed: There is none, or it cannot be changed.
        """
        # To the microsecond: a second wish within the same second is one of its own.
        now = datetime.now(UTC).isoformat()
        return self._patch(name, {"metadata": {"annotations": {RETRY: now}}})

    def _patch(self, name: str, change: Json) -> Json:
        patch = json.dumps(change)
        found: Json = json.loads(
            self._kubectl.run("patch", KIND, name, "--type=merge", f"--patch={patch}", "--output=json")
        )
        return found
