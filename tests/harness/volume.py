"""What lies on the claim, put there by a pod that may write: `push` would never leave a broken artifact there."""

import base64
import contextlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
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
    with mounted(namespace):
        unpack(namespace, root)


def unpack(namespace: Namespace, root: Path) -> None:
    """The same, where the claim is mounted."""
    archive = base64.b64encode(_archive(root)).decode()
    namespace.kubectl("exec", "--stdin", POD, "--", "python3", "-c", UNPACK, given=archive)


def listed(namespace: Namespace, directory: str) -> list[str]:
    """The names in a directory of the claim, where it is mounted; none where there is no such directory."""
    return namespace.kubectl("exec", POD, "--", "sh", "-c", f"ls /models/{directory} 2>/dev/null || true").split()


def fetch(namespace: Namespace, path: str) -> bytes:
    """A file of the claim, where it is mounted."""
    return base64.b64decode(namespace.kubectl("exec", POD, "--", "base64", f"/models/{path}"))


@contextlib.contextmanager
def mounted(namespace: Namespace) -> Iterator[None]:
    """A pod with the claim, which may write."""
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
    try:
        yield
    finally:
        namespace.kubectl("delete", "pod", POD, "--wait=false")


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
