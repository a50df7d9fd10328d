"""A pod as the rollout protocol has it: it decides by the server's own pure rules, and its loads take a step.

Owns one pod's life. Knows nothing of the operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from modelroll_operator import observed
from modelroll_operator.canary import Numbers
from modelroll_operator.target import Content
from modelroll_server.registry import target as targets

ROWS_OF_A_STAGE = 40
AS_CANDIDATE = frozenset({"CanaryErrors"})  # instead of a reason: loads, and fails as a candidate
GRACE = timedelta(seconds=45)
BORN = datetime(2026, 1, 1, tzinfo=UTC)
HANGS = "hangs"  # instead of a reason: the load never ends; a pod that serves gives it up
MODEL_PATH = targets.Content(version="0.0.1", path="/models/default", env=True)


@dataclass
class SimulatedPod:
    """One pod.

    Attributes:
        name: Its name.
        target: Its annotation, which came from the template.
        created: When it was made; an API server that is asked knows better.
        move: Its annotation that the operator wrote.
        live: What it serves.
        loading: What it loads.
        failure: The revision that it refused last, and why.
        gone_by: When it is gone at the latest, once it was deleted.
        gone: Whether it has ended.
        draining: Steps that it goes on answering for, once it was deleted.
        lagging: Whether its volume shows a newer ConfigMap only once the pod itself was written to: the kubelet hears
            of that at once, and looks at ConfigMaps when it comes to it.
        mounted: `settled` and `move` as its volume shows them.
        beside: The move that has a candidate beside what it serves.
        numbers: How that candidate does.
        crashed: Revisions that it was loading when its container died.
    """

    name: str
    target: str | None
    created: datetime = BORN
    move: str | None = None
    live: targets.Live | None = None
    loading: targets.Target | None = None
    failure: observed.Failure | None = None
    refused: frozenset[int] = frozenset()
    wanted: int | None = None
    gone_by: datetime | None = None
    gone: bool = False
    draining: int = 5
    lagging: bool = False
    mounted: tuple[str | None, str | None] | None = None
    crashed: frozenset[int] = frozenset()
    beside: targets.Target | None = None
    numbers: Numbers = field(default_factory=Numbers)
    seen: dict[int, set[str | None]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether it passes its readiness probe."""
        return self.live is not None

    @property
    def answers(self) -> set[Content]:
        """What may answer a request to it: what it serves, and a candidate that has a share."""
        found = set() if self.serves is None else {self.serves}
        if self.beside is not None and self.beside.candidate is not None and self.beside.candidate.percent:
            found.add(_candidate(self.beside, self.numbers).content)
        return found

    @property
    def serves(self) -> Content | None:
        """What it serves, in the operator's words."""
        if self.live is None:
            return None
        content = self.live.content
        return (
            Content(env=True) if content.env else Content(version=content.version, path=content.path, env=content.env)
        )

    def delete(self, now: datetime) -> None:
        """What the API server does with it on deletion."""
        if self.gone_by is None:
            self.gone_by = now + GRACE

    def crash(self) -> None:
        """What the kubelet does when the container dies: it looks after the pod's volumes, and starts it again."""
        self.mounted = None
        self.failure = None
        if self.loading is not None:
            revision = self.loading.revision
            self.crashed |= {revision}
            self.failure = observed.Failure(revision, "CrashedWhileLoading", f"it died while it loaded {revision}")
        self.live, self.loading, self.beside, self.refused = None, None, None, frozenset()

    def step(self, settled: str | None, failing: Mapping[str, str]) -> bool:
        """Go on by one step; whether anything changed.

        Args:
            settled: The ConfigMap's key, as it is mounted now.
            failing: Versions that do not pass the gates, with the reason.
        """
        if self.gone_by is not None:
            self.draining -= 1
            self.gone = self.draining <= 0
            return True
        if not self.lagging or self.mounted is None or self.mounted[1] != self.move:
            self.mounted = settled, self.move
        snapshot = self._read(*self.mounted)
        want = targets.base(snapshot) if self.live is None else targets.wanted(snapshot)
        self.wanted = None if want is None else want.revision
        if self.loading is not None:
            return self._finish(snapshot, self.loading, failing)
        if self.live is None:
            decision = targets.decide_start(snapshot)
        else:
            decision = targets.decide(snapshot, self.live, self.refused, self.crashed)
        match decision:
            case targets.Adopt(want):
                self._arrive(want, want.content)
                self._accompany(snapshot, failing)
            case targets.Load(want):
                is_known = self.failure is not None and self.failure.revision == want.revision
                if self.live is None and is_known and want.content.version in failing:
                    return False  # it would only fail again; the back-off goes on
                self.loading = want
            case targets.Clash(want, _):
                raise AssertionError(f"{self.name}: revision {want.revision} is said to be two contents")
            case targets.Keep():
                return self._accompany(snapshot, failing)
        return True

    def _accompany(self, snapshot: targets.Snapshot, failing: Mapping[str, str]) -> bool:
        """Have beside what it serves what is to be there; whether anything changed."""
        assert self.live is not None
        want = targets.beside(snapshot, self.live, self.refused, self.crashed)
        if want is None or want.candidate is None:
            changed, self.beside = self.beside is not None, None
            return changed
        version = want.candidate.content.version or ""
        reason = failing.get(version)
        if reason is not None and reason not in AS_CANDIDATE:
            self.failure = observed.Failure(
                want.revision, "LoadTimedOut" if reason == HANGS else reason, f"{version} is bad"
            )
            self.refused |= {want.revision}
            return True
        if want != self.beside:
            self.beside, self.numbers = want, Numbers()
            return True
        if self.numbers.compared >= ROWS_OF_A_STAGE:
            return False
        failed = 10 if reason == "CanaryErrors" else 0
        self.numbers = replace(
            self.numbers,
            compared=self.numbers.compared + 10,
            comparisons=self.numbers.comparisons + 10,
            failed=self.numbers.failed + failed,
            requests=self.numbers.requests + 10 + failed,
        )
        return True

    def status(self) -> observed.PodStatus | None:
        """What it says on `/status`."""
        content = None if self.live is None else self.live.content
        return observed.PodStatus(
            live=None if content is None else Content(version=content.version, path=content.path, env=content.env),
            live_revision=0 if self.live is None else self.live.revision,
            wanted_revision=self.wanted,
            failure=self.failure,
            candidate=None if self.beside is None else _candidate(self.beside, self.numbers),
        )

    def _read(self, settled: str | None, move: str | None) -> targets.Snapshot:
        def parsed(source: targets.Source, text: str | None) -> targets.Target | None:
            return targets.parse(source, (text or "").encode())

        found = targets.Snapshot(
            parsed("target", self.target),
            parsed("settled", settled),
            parsed("move", move),
            targets.Target("env", 0, MODEL_PATH),
        )
        for one in (found.target, found.settled, found.move):
            if one is not None:
                self.seen.setdefault(one.revision, set()).add(None if one.content.env else one.content.version)
        return targets.resolve(found)

    def _finish(self, snapshot: targets.Snapshot, want: targets.Target, failing: Mapping[str, str]) -> bool:
        reason = failing.get(want.content.version or "")
        reason = None if reason in AS_CANDIDATE else reason
        if reason == HANGS and self.live is None:
            return False
        if reason == HANGS:
            reason = "LoadTimedOut"
        self.loading = None
        if reason is not None:
            self.failure = observed.Failure(want.revision, reason, f"{want.content.version} is bad")
            if self.live is not None:
                self.refused |= {want.revision}
        elif want == (targets.base(snapshot) if self.live is None else targets.wanted(snapshot)):
            self._arrive(want, want.content)
        return True

    def _arrive(self, want: targets.Target, content: targets.Content) -> None:
        self.live = targets.Live(replace(content, env=want.content.env), want.revision)
        if self.failure is not None and self.failure.revision <= want.revision:
            self.failure = None


def _candidate(move: targets.Target, numbers: Numbers) -> observed.Beside:
    assert move.candidate is not None
    content = move.candidate.content
    return observed.Beside(Content(version=content.version, path=content.path), move.revision, numbers)
