"""The short-lived pod of a push: restricted, the claim mounted, doing nothing until it is told to receive."""

import secrets
from typing import Any

MOUNT = "/models"
CONTAINER = "receive"
USER = 65532  # the server's own user and group, so that it can read what is written here
LIFETIME = 3600  # seconds after which a forgotten pod ends by itself

# Reasons for which waiting longer is in vain.
HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}


def manifest(claim: str, image: str) -> dict[str, Any]:
    """The pod, as it is given to `kubectl create`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"modelroll-push-{secrets.token_hex(4)}",
            "labels": {"app.kubernetes.io/name": "modelroll-push", "app.kubernetes.io/part-of": "modelroll"},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFETIME,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": CONTAINER,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", f"import time; time.sleep({LIFETIME})"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                    "volumeMounts": [{"name": "models", "mountPath": MOUNT}],
                }
            ],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether its container runs."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def trouble(pod: dict[str, Any]) -> str | None:
    """Why it will never run; None while it may."""
    status = pod.get("status", {})
    if status.get("phase") in {"Failed", "Succeeded"}:
        return f"the pod ended: {status.get('message') or status.get('reason') or status['phase']}"
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return None
