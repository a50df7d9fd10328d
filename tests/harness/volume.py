"""What lies on the claim, damaged by a pod that may write: `push` itself would never leave a broken artifact there."""

import json
import os

from harness.cluster import Namespace
from harness.release import CLAIM

POD = "volume-writer"


def truncate(namespace: Namespace, path: str, size: int) -> None:
    """Cut a file on the claim to so many bytes, as an interrupted copy would."""
    _run_python(namespace, f"import os; os.truncate('/models/{path}', {size})")


def _run_python(namespace: Namespace, program: str) -> None:
    container = {
        "name": POD,
        "image": os.environ["MODELROLL_SERVER_IMAGE"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", program],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}
    namespace.kubectl("create", "--filename=-", given=json.dumps(pod))
    namespace.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{POD}", "--timeout=60s")
    namespace.kubectl("delete", "pod", POD)
