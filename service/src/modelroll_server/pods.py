"""A pod as `kubectl` shows it, and the security context of those that the command line makes."""

import contextlib
from typing import Any

from modelroll_server.errors import KubectlFailed
from modelroll_server.kubectl import Kubectl

USER = 65532  # the server's own user and group, so that it can read what others write, and they what it does

# Reasons for which waiting longer is in vain.
HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}


def restricted() -> dict[str, Any]:
    """A pod's security context, by the restricted Pod Security Standard."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restricted_container() -> dict[str, Any]:
    """A container's."""
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether its container runs."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def hopeless(pod: dict[str, Any]) -> str | None:
    """Why a container of it will never start; None while it may."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return None


def events(kubectl: Kubectl, name: str) -> list[str]:
    """What the cluster says about an object, a line an Event."""
    with contextlib.suppress(KubectlFailed):
        found = kubectl.get("events", f"--field-selector=involvedObject.name={name}")
        return list(dict.fromkeys(f"{event.get('reason')}: {event.get('message')}" for event in found["items"]))
    return []


def check_claim(kubectl: Kubectl, claim: str) -> None:
    """See that a claim is there.

    Raises:
        KubectlFailed: It is not; the message names those that are.
    """
    names = sorted(item["metadata"]["name"] for item in kubectl.get("persistentvolumeclaims")["items"])
    if claim not in names:
        there = f"there are: {', '.join(names)}" if names else "there is none"
        raise KubectlFailed(f"no claim {claim} in this namespace; {there}")
