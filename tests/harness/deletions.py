"""Pods that go away while everything else happens: one at a time, at random, each replaced before the next."""

import random
import threading
from types import TracebackType
from typing import Self

from harness.cluster import Namespace
from harness.readiness import Readiness
from harness.waiting import wait_until

LONGEST_PAUSE = 4.0


class Deletions:
    """Deletes pods of a release, gracefully, until it is closed."""

    def __init__(self, namespace: Namespace, readiness: Readiness, pods: int, seed: int) -> None:
        self._namespace = namespace
        self._readiness = readiness
        self._pods = pods
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._error: Exception | None = None

    @property
    def count(self) -> int:
        """How many pods were deleted."""
        return len(self._readiness.taken)

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
            while not self._stop.wait(self._random.uniform(0.5, LONGEST_PAUSE)):
                self._delete_one()
        except Exception as error:  # noqa: BLE001  raised again where the test sees it
            self._error = error

    def _delete_one(self) -> None:
        ready = self._readiness.ready_now()
        if len(ready) < self._pods:
            return
        pod = self._random.choice(sorted(ready))
        self._readiness.take(pod)
        # A rollout may be quicker and have taken it already.
        self._namespace.kubectl("delete", "pod", pod, "--wait=false", "--ignore-not-found")

        def replaced() -> bool:
            now = self._readiness.ready_now()
            return pod not in now and len(now) >= self._pods

        wait_until(replaced, 90, what=f"a pod in place of {pod}")
