"""A pod as the rollout protocol has it: it decides by the server's own pure rules, and its loads take a step.

Owns one pod's life. Knows nothing of the operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from modelroll_operator import observed
from modelroll_operator.target import Content
from modelroll_server.registry import target as targets

GRACE = timedelta(seconds=45)
BORN = datetime(2026, 1, 1, tzinfo=UTC)
HANGS = "hangs"  # instead of a reason: the load never ends
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
    seen: dict[int, set[str | None]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether it passes its readiness probe."""
        return self.live is not None

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
        snapshot = self._read(settled)
        want = targets.base(snapshot) if self.live is None else targets.wanted(snapshot)
        self.wanted = None if want is None else want.revision
        if self.loading is not None:
            return self._finish(snapshot, self.loading, failing)
        if self.live is None:
            decision = targets.decide_start(snapshot)
        else:
            decision = targets.decide(snapshot, self.live, self.refused, frozenset())
        match decision:
            case targets.Adopt(want):
                self._arrive(want, want.content)
            case targets.Load(want):
                if self.live is None and self.failure is not None and self.failure.revision == want.revision:
                    return False  # it would only fail again; the back-off goes on
                self.loading = want
            case targets.Clash(want, _):
                raise AssertionError(f"{self.name}: revision {want.revision} is said to be two contents")
            case targets.Keep():
                return False
        return True

    def status(self) -> observed.PodStatus | None:
        """What it says on `/status`."""
        content = None if self.live is None else self.live.content
        return observed.PodStatus(
            live=None if content is None else Content(version=content.version, path=content.path, env=content.env),
            live_revision=0 if self.live is None else self.live.revision,
            wanted_revision=self.wanted,
            failure=self.failure,
        )

    def _read(self, settled: str | None) -> targets.Snapshot:
        def parsed(source: targets.Source, text: str | None) -> targets.Target | None:
            return targets.parse(source, (text or "").encode())

        found = targets.Snapshot(
            parsed("target", self.target),
            parsed("settled", settled),
            parsed("move", self.move),
            targets.Target("env", 0, MODEL_PATH),
        )
        for one in (found.target, found.settled, found.move):
            if one is not None:
                self.seen.setdefault(one.revision, set()).add(None if one.content.env else one.content.version)
        return targets.resolve(found)

    def _finish(self, snapshot: targets.Snapshot, want: targets.Target, failing: Mapping[str, str]) -> bool:
        reason = failing.get(want.content.version or "")
        if reason == HANGS:
            return False
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
