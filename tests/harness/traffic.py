"""Constant load on a release, with every answer held against scikit-learn's and against what was legal at the time.

Puts the checker's parts together: a client that keeps its connections and one that does not, the record of what was
legal, the record of which pods were Ready.
"""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from checker.legal import Watch
from checker.verdict import Verdict, judge
from harness.cluster import Namespace
from harness.load_pod import POD, SERVICE, Load, rows, start_pod
from harness.readiness import Readiness
from harness.release import NAME, SERVERS

SAMPLES = Path(__file__).parents[2] / "k8s" / "samples"
RATE = 20
CUSTOMERS = 500


class Traffic:
    """The load of one `under_load`, and at its end the verdict on it."""

    def __init__(
        self,
        namespace: Namespace,
        rate: float,
        *,
        resend_cut: bool = False,
        url: str = SERVICE,
        kept: tuple[bool, ...] = (True, False),
    ) -> None:
        self.readiness = Readiness(namespace.name, SERVERS)
        self.verdict = judge([], [])
        self._namespace = namespace
        self._rate = rate
        self._resend_cut = resend_cut
        self._url = url
        self._kept = kept
        self._due = 0.0
        self._loads: list[Load] = []

    @property
    def count(self) -> int:
        """How many requests were made so far."""
        return sum(load.count for load in self._loads)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Load, from the first answers on to the end of the block."""
        with ExitStack() as stack:
            watch = Watch(self._namespace.name, NAME, "1.2.0")
            stack.callback(watch.close)
            stack.enter_context(self.readiness)
            loads = self._loads = [
                Load(self._namespace.name, keep_alive=keep, rate=self._rate, url=self._url, resend_cut=self._resend_cut)
                for keep in self._kept
            ]
            with ExitStack() as running:
                for load in loads:
                    running.callback(load.stop)
                for load in loads:
                    load.wait_for_answers()
                began = time.monotonic()
                yield
                self._due = len(loads) * self._rate * (time.monotonic() - began)
            records = itertools.chain.from_iterable(load.records for load in loads)
            self.verdict = judge(records, watch.timeline, self.readiness.kill_windows())

    def assert_flawless(self, pods: int = 3) -> None:
        """Nothing failed, nothing was wrong or answered by a version that was not legal, no ready pod was lost."""
        # A machine that is short of time may leave requests out, but a load that stood still proves nothing.
        assert self.verdict.requests > self._due / 3
        assert self.verdict.failed == ()
        assert self.verdict.illegal == ()
        assert self.verdict.digests.items() <= packed_digests().items()
        assert self.readiness.below(pods) == []


def packed_digests() -> dict[str, frozenset[str]]:
    """What the samples say that each version's bytes hash to."""
    samples = [yaml.safe_load(path.read_text())["spec"] for path in SAMPLES.glob("churn-*.yaml")]
    return {spec["version"]: frozenset({spec["digest"]}) for spec in samples}


@contextmanager
def under_load(
    namespace: Namespace,
    rate: float = RATE,
    *,
    resend_cut: bool = False,
    url: str = SERVICE,
    kept: tuple[bool, ...] = (True, False),
) -> Iterator[Traffic]:
    """Load for the length of the block; the verdict stands after it.

    Args:
        namespace: Of the release.
        rate: Requests a second of each client.
        resend_cut: Whether what a cut connection left unanswered is sent once more; a failure all the same, but where a
            process was being killed (`Readiness.kills`).
        url: Whom they ask.
        kept: One for each client: whether it keeps its connections.
    """
    ensure_client(namespace)
    traffic = Traffic(namespace, rate, resend_cut=resend_cut, url=url, kept=kept)
    with traffic.flowing():
        yield traffic


def ensure_client(namespace: Namespace) -> None:
    """Have the pod that clients run in; it is made once in a namespace."""
    if namespace.get("pod", POD) is None:
        start_pod(namespace.name, rows(CUSTOMERS))


def ask_every_customer(namespace: Namespace) -> Verdict:
    """Ask for each of the 500 real rows once or more, and check the answers."""
    ensure_client(namespace)
    watch = Watch(namespace.name, NAME, "1.2.0")
    load = Load(namespace.name, keep_alive=True, rate=100)
    try:
        load.wait_for_answers(CUSTOMERS)
    finally:
        load.stop()
        watch.close()
    return judge(load.records, watch.timeline)


def summary(verdict: Verdict, **more: object) -> str:
    """One line of JSON on a run, for whoever collects numbers."""
    document = {
        "requests": verdict.requests,
        "failed": len(verdict.failed),
        "illegal": len(verdict.illegal),
        "cut": verdict.cut,
        "cut_by": verdict.cut_by,
        "by_version": verdict.by_version,
        "p50_ms": round(verdict.p50, 1),
        "p99_ms": round(verdict.p99, 1),
    }
    return json.dumps(document | more)
