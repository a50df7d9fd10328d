"""The short-lived pod of a push: restricted, the claim mounted, doing nothing until it is told to receive."""

import secrets
from typing import Any

from modelroll_server import pods

MOUNT = "/models"
CONTAINER = "receive"
LIFETIME = 3600  # seconds after which a forgotten pod ends by itself


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
            "securityContext": pods.restricted(),
            "containers": [
                {
                    "name": CONTAINER,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", f"import time; time.sleep({LIFETIME})"],
                    "securityContext": pods.restricted_container(),
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                    "volumeMounts": [{"name": "models", "mountPath": MOUNT}],
                }
            ],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def trouble(pod: dict[str, Any]) -> str | None:
    """Why it will never run; None while it may."""
    status = pod.get("status", {})
    if status.get("phase") in {"Failed", "Succeeded"}:
        return f"the pod ended: {status.get('message') or status.get('reason') or status['phase']}"
    return pods.hopeless(pod)
