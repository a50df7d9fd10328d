"""Following a Job to its end: how many indexes have succeeded, and what the pods said that did not."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelroll_server import pods
from modelroll_server.errors import JobFailed, KubectlFailed
from modelroll_server.jobs.manifest import CONTAINER
from modelroll_server.kubectl import Kubectl

POLL = 1.0  # seconds between two looks
PATIENCE = 60.0  # seconds for which a cluster may not be there: the Job goes on meanwhile
_LINES = 20  # of a failed pod's log
_INDEX = "batch.kubernetes.io/job-completion-index"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a Job stands: indexes that succeeded, those that failed for good, and pods that run."""

    succeeded: int
    failed: str
    active: int


def follow(kubectl: Kubectl, name: str, report: Callable[[Standing], None], say: Callable[[str], None]) -> str:
    """Wait until a Job has succeeded; what its last pod said.

    Args:
        kubectl: How the cluster is reached.
        name: Of the Job.
        report: Called with where it stands, each time that somebody looked.
        say: Called with what a pod said that failed, and with what keeps one from starting.

    Raises:
        JobFailed: It failed, its pods cannot start, or it was deleted.
        KubectlFailed: The cluster could not be asked for a minute.
    """
    said: set[str] = set()
    while True:
        job, found = _asked(kubectl, name, say)
        status = job.get("status", {})
        report(Standing(status.get("succeeded", 0), status.get("failedIndexes", ""), status.get("active", 0)))
        for pod in found:
            if pod.get("status", {}).get("phase") == "Failed" and pod["metadata"]["name"] not in said:
                said.add(pod["metadata"]["name"])
                say(_failure(kubectl, pod))
        ended = {one["type"]: one for one in status.get("conditions", []) if one["status"] == "True"}
        if "Complete" in ended:
            return _word(found)
        if "Failed" in ended:
            why = ended["Failed"]
            raise JobFailed(f"the Job {name} failed: {why.get('reason')}: {why.get('message')}")
        _check_starts(kubectl, name, found)
        for line in _held_up(kubectl, found):
            if line not in said:
                said.add(line)
                say(line)
        time.sleep(POLL)


def _asked(kubectl: Kubectl, name: str, say: Callable[[str], None]) -> tuple[Object, list[Object]]:
    """The Job and its pods, of a cluster that may not be there for a while.

    Raises:
        JobFailed: The Job is not there any more.
        KubectlFailed: The cluster could not be asked for a minute.
    """
    until = time.monotonic() + PATIENCE
    is_said = False
    while True:
        try:
            return _found(kubectl, name), kubectl.get("pods", f"--selector=batch.kubernetes.io/job-name={name}")[
                "items"
            ]
        except KubectlFailed as error:
            if time.monotonic() > until:
                raise
            if not is_said:
                say(f"the cluster cannot be asked, and is asked again: {error.message}")
            is_said = True
        time.sleep(POLL)


def _found(kubectl: Kubectl, name: str) -> Object:
    try:
        found: Object = kubectl.get("job", name)
    except KubectlFailed as error:
        if "NotFound" in error.message:
            raise JobFailed(f"the Job {name} is not there any more: somebody deleted it") from error
        raise
    return found


def _check_starts(kubectl: Kubectl, name: str, found: list[Object]) -> None:
    for pod in found:
        why = pods.hopeless(pod)
        if why is not None:
            lines = kubectl.events(pod["metadata"]["name"])
            raise JobFailed("\n  ".join((f"the pods of the Job {name} cannot start: {why}", *lines)))
    refused = [line for line in kubectl.events(name) if line.startswith("FailedCreate:")] if not found else []
    if refused:
        raise JobFailed(f"the Job {name} gets no pods: {refused[-1]}")


def _held_up(kubectl: Kubectl, found: list[Object]) -> list[str]:
    """What keeps the first pod that waits from starting, such as that no node has the room."""
    waiting = [pod["metadata"]["name"] for pod in found if pod.get("status", {}).get("phase") == "Pending"][:1]
    lines = [line for name in waiting for line in kubectl.events(name)]
    return [f"a pod waits: {line}" for line in lines if line.startswith("Failed")]


def _terminated(pod: Object) -> Object:
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container["name"] == CONTAINER:
            found: Object = container.get("state", {}).get("terminated") or {}
            return found
    return {}


def _failure(kubectl: Kubectl, pod: Object) -> str:
    ended, name = _terminated(pod), pod["metadata"]["name"]
    index = pod["metadata"].get("annotations", {}).get(_INDEX, "?")
    how = f"exit code {ended['exitCode']}" if "exitCode" in ended else pod["status"].get("reason", "no exit code")
    reason = ended.get("reason", "Error")
    log = ended.get("message", "")
    with contextlib.suppress(KubectlFailed):  # with the pod, its log may be gone
        log = kubectl.run("logs", name, f"--tail={_LINES}") or log
    lines = [f"index {index}: the pod {name} failed ({how}{'' if reason == 'Error' else f', {reason}'})"]
    return "\n  ".join([*lines, *log.strip().splitlines()])


def _word(found: list[Object]) -> str:
    """What the pod that put OUT together left to be read."""
    words = [str(_terminated(pod).get("message", "")) for pod in found if pod["status"].get("phase") == "Succeeded"]
    return next((word for word in words if word), "")
