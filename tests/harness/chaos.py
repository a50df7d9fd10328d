"""What goes wrong on a cluster, at random and by a seed: pods deleted and killed, out of memory, the operator killed.

One fault at a time, and the next one only once all pods are Ready again: a service that loses all its pods at once
cannot answer, but where it is told so, as then each pod answers until a new one is there. What a kill cut is sent once
more, and only once: so no second kill comes before that has had its answer.
"""

import collections
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from harness.cluster import CommandFailed
from harness.load_pod import RESEND_AFTER
from harness.readiness import CUT_WITHIN, Kill, Readiness
from harness.release import Release
from harness.waiting import wait_until

LONGEST_PAUSE = 3.0
DELETE_ONE, DELETE_ALL, DELETE_OPERATOR = "delete a pod", "delete all pods at once", "delete the operator's pod"
KILL, OUT_OF_MEMORY, KILL_OPERATOR = "kill a container", "run a pod out of memory", "kill the operator"
EVERY_KIND = {DELETE_ONE: 8, DELETE_ALL: 1, KILL: 4, OUT_OF_MEMORY: 2, DELETE_OPERATOR: 4, KILL_OPERATOR: 2}
DELETIONS = {DELETE_ONE: 1}
KILLS = frozenset({KILL, OUT_OF_MEMORY})
# More than any limit of the tests: the kernel ends somebody in the container, which may be the server.
HOG = "x = [bytearray(2**26) for _ in range(2**10)]"


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done, and when, as time.time() has it."""

    at: float
    kind: str
    pods: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{time.strftime('%H:%M:%S', time.localtime(self.at))} {self.kind} {' '.join(self.pods)}".rstrip()


class Faults:
    """Makes faults in a release until it is closed.

    Attributes:
        made: All of them, oldest first.
    """

    def __init__(
        self, release: Release, readiness: Readiness, pods: int, seed: int, weights: Mapping[str, int] = EVERY_KIND
    ) -> None:
        self.made: list[Fault] = []
        self._release = release
        self._readiness = readiness
        self._pods = pods
        self._random = random.Random(seed)
        self._weights = weights
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._error: Exception | None = None
        self._answered_by = 0.0  # when what the last kill cut has been sent once more, and answered

    @property
    def count(self) -> collections.Counter[str]:
        """How many there were of each kind."""
        return collections.Counter(fault.kind for fault in self.made)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _work(self) -> None:
        try:
            while not self._stop.wait(self._random.uniform(0.2, LONGEST_PAUSE)):
                self._make(self._next())
        except Exception as error:  # noqa: BLE001  raised again where the test sees it
            self._error = error

    def _next(self) -> str:
        is_early = time.time() < self._answered_by
        weights = {kind: weight for kind, weight in self._weights.items() if not (is_early and kind in KILLS)}
        (kind,) = self._random.choices(list(weights), list(weights.values()))
        return kind

    def _make(self, kind: str) -> None:
        began = time.time()
        if kind == DELETE_OPERATOR:
            self._release.delete_operator()
        if kind == KILL_OPERATOR and not self._release.kill_operator():
            kind = DELETE_OPERATOR  # no process was there yet
        if kind in {DELETE_OPERATOR, KILL_OPERATOR}:
            self.made.append(Fault(began, kind))
            return
        ready = sorted(self._readiness.ready_now())
        if len(ready) < self._pods:
            return
        pods = ready if kind == DELETE_ALL else [self._random.choice(ready)]
        for pod in pods:
            self._readiness.take(pod)
        fault = Fault(began, kind, tuple(pods))
        self.made.append(fault)
        if kind in {DELETE_ONE, DELETE_ALL}:
            # A rollout may be quicker and have taken it already.
            self._release.namespace.kubectl("delete", "pods", *pods, "--wait=false", "--ignore-not-found")
        else:
            self._kill(fault)
        wait_until(lambda: self._is_over(fault), 120, what=f"all pods Ready after: {fault}")

    def _kill(self, fault: Fault) -> None:
        """Kill what runs in the pod, and note from when to when that may have been: only this may cut a connection."""
        (pod,) = fault.pods
        namespace = self._release.namespace
        try:
            if fault.kind == KILL:
                namespace.kill(pod)
            else:
                namespace.kubectl("exec", pod, "--", "python", "-c", HOG)
        except CommandFailed as failed:
            # A rollout was quicker and has taken it: then nothing was killed, and what is cut is the rollout's doing.
            # That the hog itself was ended is as it has to be.
            if fault.kind == KILL or "NotFound" in str(failed):
                return
        ended = time.time()
        self._answered_by = ended + RESEND_AFTER + CUT_WITHIN
        self._readiness.kills.append(Kill(pod, fault.at, ended))

    def _is_over(self, fault: Fault) -> bool:
        """Whether all pods are Ready again: those that were hit must be seen to have gone, if they go at all."""
        # The kernel may have ended the hog alone, and then the server goes nowhere.
        is_late = fault.kind in KILLS and time.time() > fault.at + CUT_WITHIN
        were_lost = all(self._readiness.was_lost(pod, fault.at) for pod in fault.pods)
        return (were_lost or is_late) and len(self._readiness.ready_now()) >= self._pods


def seed() -> int:
    """The one that is asked for, or a new one."""
    return int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
