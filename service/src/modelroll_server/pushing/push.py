"""`modelroll push`: from a directory on this machine into a claim, through a short-lived pod and the user's `kubectl`.

Owns the order of things and the sentences for what a cluster may refuse. `receive` checks what arrives.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modelroll_server import pods
from modelroll_server.artifact import catalog
from modelroll_server.errors import LoadError, PushFailed
from modelroll_server.kubectl import Kubectl
from modelroll_server.pushing import archive, pod
from modelroll_server.pushing.receive import READY, Received

if TYPE_CHECKING:
    import subprocess

_POLL = 0.5
_QUIET = 2.0  # seconds that a pod may take without a word about it


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where to push.

    Attributes:
        claim: The PersistentVolumeClaim.
        image: Of the pod that receives; the server's own.
        timeout: Seconds that the pod may take to start.
    """

    claim: str
    image: str
    timeout: float = 120.0


def find(directory: Path) -> list[catalog.Entry]:
    """What a directory has to push: one artifact, or every complete version of a model.

    Raises:
        PushFailed: It has nothing complete.
    """
    try:
        entries = [catalog.read(directory)] if catalog.is_artifact(directory) else catalog.complete_versions(directory)
    except (OSError, LoadError) as error:
        raise PushFailed(f"{directory}: {error}") from error
    if not entries:
        raise PushFailed(f"{directory} holds no complete version; `modelroll pack` makes one")
    return entries


def push(
    entries: Sequence[catalog.Entry],
    kubectl: Kubectl,
    destination: Destination,
    report: Callable[[int], None],
    say: Callable[[str], None],
) -> list[Received]:
    """Put versions into the claim, and wait until they lie there, checked.

    Args:
        entries: What `find` found.
        kubectl: How the cluster is reached.
        destination: The claim, and the image of the pod.
        report: Called with the number of bytes of each chunk sent.
        say: Called with what a person wants to read while the pod does not start.

    Raises:
        KubectlFailed: The cluster refused; the pod is deleted all the same.
        PushFailed: The receiving end refused.
    """
    kubectl.check_claim(destination.claim)
    with _running_pod(kubectl, destination, say) as name:
        received = _send(entries, kubectl, name, report)
    absent = {entry.version.text for entry in entries} - {one.version for one in received}
    if absent:
        raise PushFailed(f"the connection ended before {', '.join(sorted(absent))} had arrived: push again")
    return received


@contextlib.contextmanager
def _running_pod(kubectl: Kubectl, destination: Destination, say: Callable[[str], None]) -> Iterator[str]:
    wanted = pod.manifest(destination.claim, destination.image)
    name: str = wanted["metadata"]["name"]
    try:
        kubectl.run("create", "--filename=-", given=json.dumps(wanted))
        _wait(kubectl, name, destination, say)
        yield name
    finally:
        kubectl.run("delete", "pod", name, "--ignore-not-found", "--wait=false")


def _wait(kubectl: Kubectl, name: str, destination: Destination, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    said: set[str] = set()
    while True:
        found = kubectl.get("pod", name)
        if pods.is_ready(found):
            return
        why = pod.trouble(found)
        if why is None and time.monotonic() > began + destination.timeout:
            why = f"the pod did not start within {destination.timeout:g} s"
        if why is not None:
            hint = f" (image {destination.image}; --image or MODELROLL_IMAGE names another)" if "Image" in why else ""
            raise PushFailed("\n  ".join((f"{why}{hint}", *kubectl.events(name))))
        if time.monotonic() > began + _QUIET:
            for line in kubectl.events(name):
                if line not in said:
                    say(f"waiting for the pod {name}: {line}")
                    said.add(line)
        time.sleep(_POLL)


def _send(
    entries: Sequence[catalog.Entry], kubectl: Kubectl, name: str, report: Callable[[int], None]
) -> list[Received]:
    command = ["modelroll", "receive", "--root", pod.MOUNT, "--bytes", str(archive.size(entries))]
    process = kubectl.stream("exec", "--stdin", name, f"--container={pod.CONTAINER}", "--", *command)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().decode().strip() == READY:  # else the other end refused, and says why
            with contextlib.suppress(BrokenPipeError):
                archive.write(entries, process.stdin, report)  # type: ignore[arg-type]
        output, errors = _finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise PushFailed(_last_lines(errors) or f"kubectl exec: exit code {process.returncode}")
    try:
        return [msgspec.json.decode(line, type=Received) for line in output.splitlines()]
    except msgspec.MsgspecError as error:
        raise PushFailed(f"the pod answered something else than a receipt: {output[:200]!r}") from error


def _finish(process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
    with contextlib.suppress(BrokenPipeError):
        return process.communicate()
    process.stdin = None
    return process.communicate()


def _last_lines(errors: bytes) -> str:
    """What `receive` said, without what kubectl adds to it."""
    lines: list[Any] = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    return "\n".join(line for line in lines if not line.startswith("command terminated with exit code"))
