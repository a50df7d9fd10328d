"""The record of which pods were Ready when, kept by a watch, so that no moment is missed between two polls.

Owns what "no ready pod was lost" means. Knows pods, and the annotation that says which target a pod was made for.
"""

import itertools
import json
import math
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

from checker.verdict import Window
from harness.cluster import Object
from harness.waiting import wait_until

TARGET = "modelroll.dev/target"
HEARD_WITHIN = 3.0  # seconds within which the Deployment's controller knows of a lost pod, on a busy machine
CUT_WITHIN = 10.0  # seconds after which nobody is sent to a process that was killed, on a busy machine


@dataclass(frozen=True)
class Sample:
    """What stood after one event of the watch."""

    at: float
    ready: frozenset[str]


@dataclass(frozen=True)
class Kill:
    """A process that the test killed: in which pod, just before, and when the command had ended."""

    pod: str
    began: float
    ended: float


@dataclass
class Readiness:
    """Watches the pods of one selector until it is closed."""

    namespace: str
    selector: str
    samples: list[Sample] = field(default_factory=list)
    targets: dict[str, str] = field(default_factory=dict)
    """The target's version of each pod that was ever Ready; empty for a pod made without one."""
    taken: set[str] = field(default_factory=set)
    """Pods that the test itself deleted or killed."""
    kills: list[Kill] = field(default_factory=list)

    def __enter__(self) -> Self:
        command = ("kubectl", "--namespace", self.namespace, "get", "pods", f"--selector={self.selector}")
        watching = ("--watch", "--output-watch-events", "--output=json", "--request-timeout=0")
        self._process = subprocess.Popen([*command, *watching], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._thread = threading.Thread(target=self._follow, args=(self._process.stdout,), daemon=True)
        self._thread.start()
        # What is not seen is not proved: the record begins with the pods that are there.
        wait_until(lambda: self.samples, 30, what="the first word of the watch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = not self.is_watching
        self._process.terminate()
        self._process.wait(timeout=60)
        self._thread.join(timeout=60)
        if self._process.stdout is not None:
            self._process.stdout.close()
        if ended and error is None:
            raise RuntimeError("the watch of pods ended before the test: what was lost after that is not on record")

    @property
    def is_watching(self) -> bool:
        """Whether what happens goes on record."""
        return self._process.poll() is None and self._thread.is_alive()

    def take(self, pod: str) -> None:
        """Note that the test is about to delete this pod."""
        self.taken.add(pod)

    def was_lost(self, pod: str, since: float) -> bool:
        """Whether a pod was seen not Ready at some moment since."""
        return any(pod not in sample.ready for sample in self.samples if sample.at >= since)

    def kill_windows(self) -> list[Window]:
        """While what the test killed may have cut connections: until the pod is Ready again, but not for long."""
        return [kill_window(self.samples, kill) for kill in self.kills]

    def ready_now(self) -> frozenset[str]:
        """The pods that are Ready as far as the watch has told."""
        return self.samples[-1].ready if self.samples else frozenset()

    def below(self, floor: int) -> list[str]:
        """Every moment with fewer Ready pods than `floor` that a pod which the test took does not explain."""
        return list(_below(self.samples, self.taken, floor))

    def _follow(self, stream: IO[str]) -> None:
        ready: set[str] = set()
        for event in _documents(stream):
            pod: Object = event["object"]
            name = pod["metadata"]["name"]
            if event["type"] != "DELETED" and is_ready(pod):
                ready.add(name)
                annotation = pod["metadata"].get("annotations", {}).get(TARGET)
                self.targets[name] = json.loads(annotation)["version"] if annotation else ""
            else:
                ready.discard(name)
            self.samples.append(Sample(time.time(), frozenset(ready)))


def kill_window(samples: list[Sample], kill: Kill) -> Window:
    """From when until when one kill may have cut connections."""
    after = [sample for sample in samples if sample.at >= kill.began]
    lost = itertools.dropwhile(lambda sample: kill.pod in sample.ready, after)
    back = next((sample.at for sample in lost if kill.pod in sample.ready), math.inf)
    return kill.began, min(back, kill.ended + CUT_WITHIN)


def _below(samples: list[Sample], taken: set[str], floor: int) -> Iterator[str]:
    missing: dict[str, float] = {}  # pods that the test took, and until when each explains a loss
    before: frozenset[str] = frozenset()
    reached = False
    for sample in samples:
        missing |= dict.fromkeys((before - sample.ready) & taken, math.inf)
        missing = {pod: until for pod, until in missing.items() if sample.at < until}
        arrived = sample.ready - before
        before = sample.ready
        if len(sample.ready) >= floor:
            reached = True
            # Only a pod that came after the loss replaces what was taken: with a pod to spare, who rolls may have given
            # one up before hearing of the loss; and it may not hear at once.
            if arrived:
                missing = {pod: min(until, sample.at + HEARD_WITHIN) for pod, until in missing.items()}
        elif reached and len(sample.ready) + len(missing) < floor:
            moment = time.strftime("%H:%M:%S", time.localtime(sample.at))
            yield f"{moment}: {len(sample.ready)} ready, {sorted(sample.ready)}"


def is_ready(pod: Object) -> bool:
    """Whether a pod may be counted on."""
    conditions = pod.get("status", {}).get("conditions", [])
    # A pod on its way out still answers, but nobody may count on it.
    return "deletionTimestamp" not in pod["metadata"] and any(
        one["type"] == "Ready" and one["status"] == "True" for one in conditions
    )


def _documents(stream: IO[str]) -> Iterator[Object]:
    """One event at a time: with --output-watch-events each is a line of its own."""
    for line in stream:
        yield json.loads(line)
