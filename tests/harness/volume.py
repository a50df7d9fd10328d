"""What lies on the claim, put there by a pod that may write: `push` would never leave a broken artifact there."""

import base64
import io
import json
import os
import stat
import tarfile
from pathlib import Path

from harness.cluster import Namespace
from harness.release import CLAIM

POD = "volume-writer"
UNPACK = """
import base64, io, sys, tarfile
with tarfile.open(fileobj=io.BytesIO(base64.b64decode(sys.stdin.buffer.read()))) as archive:
    archive.extraction_filter = lambda member, path: member  # links that lead out, too; of no meaning before 3.11.4
    archive.extractall("/models")
"""


def put(namespace: Namespace, root: Path) -> None:
    """Put all that is under a directory onto the claim, as it is: links, and what nobody may read, included."""
    container = {
        "name": POD,
        "image": os.environ["MODELROLL_SERVER_IMAGE"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", "import signal; signal.sigwait({signal.SIGTERM})"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}
    namespace.kubectl("create", "--filename=-", given=json.dumps(pod))
    namespace.kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=90s")
    archive = base64.b64encode(_archive(root)).decode()
    namespace.kubectl("exec", "--stdin", POD, "--", "python3", "-c", UNPACK, given=archive)
    namespace.kubectl("delete", "pod", POD)


def _archive(root: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted(root.glob("*/**/*")):  # not the directories above the versions: they are there
            mode = path.lstat().st_mode
            info = archive.gettarinfo(path, str(path.relative_to(root)))
            if not stat.S_ISREG(mode):
                archive.addfile(info)
                continue
            path.chmod(mode | stat.S_IRUSR)  # whoever is not root cannot read it otherwise
            with path.open("rb") as file:
                archive.addfile(info, file)
            path.chmod(mode)
    return packed.getvalue()
