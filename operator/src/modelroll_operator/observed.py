"""One Deployment's surroundings at one moment, as values: the input of `plan`.

Owns the shapes; `observe` fills them from the API server and from the pods.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelroll_operator.rollout import State
from modelroll_operator.target import Content

# A pod that says one of these about a revision will not change its mind: waiting longer helps nobody.
FINAL_REASONS = frozenset(
    {
        "CrashedWhileLoading",
        "DigestMismatch",
        "GoldenRowsDiffer",
        "LoadFailed",
        "ManifestInvalid",
        "ModelMismatch",
        "ModuleMissing",
        "NotEnoughMemory",
        "PathRefused",
        "PolicyRefused",
        "SchemaChanged",
        "TargetInvalid",
        "TrainedWithOther",
        "VersionMismatch",
        "WarmUpFailed",
    }
)
# These may be a push that is under way, or a volume that is slow to follow: they get some time.
PASSING_REASONS = frozenset({"ArtifactMissing", "ArtifactIncomplete", "ArtifactUnreadable"})
MUTE_AFTER = timedelta(seconds=15)  # of a container's life; it answers for /status long before it has loaded anything


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pod does not serve a revision."""

    revision: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodStatus:
    """What a pod says of itself on `/status`.

    Attributes:
        live: What answers; with `env`, what MODEL_PATH turned out to name.
        live_revision: The revision that it was asked for at; 0 for none.
        wanted_revision: The highest revision that it has seen.
        failure: Why it does not serve what it was asked for, if it does not.
        loading: Whether it is loading.
    """

    live: Content | None
    live_revision: int
    wanted_revision: int | None
    failure: Failure | None
    loading: bool = False

    def serves(self, content: Content) -> bool:
        """Whether what answers is `content`."""
        if self.live is None:
            return False
        if content.env:
            return self.live.env
        same = (self.live.version, self.live.path) == (content.version, content.path)
        return same and content.digest in {None, self.live.digest}


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of the Deployment.

    Attributes:
        created: When it was made, by the API server's clock.
        ready: Whether it gets requests.
        terminating: Whether it is leaving.
        gone_by: When its grace period is over, for a pod that is leaving.
        target: Its annotation, from the template.
        move: Its annotation, from the operator.
        started: When its container last began to run; None while it does not.
        placed: Whether it has a node: a pod that waits for one may only be ahead of the cluster's autoscaler.
        hindrance: What Kubernetes says keeps its container from running, if anything does.
        status: What it says; None while that is not known.
    """

    name: str
    uid: str
    created: datetime
    ready: bool
    terminating: bool
    gone_by: datetime | None
    target: str | None
    move: str | None
    started: datetime | None
    placed: bool
    hindrance: str | None
    status: PodStatus | None

    def serves(self, content: Content) -> bool:
        """Whether it says that what answers is `content`."""
        return self.status is not None and self.status.serves(content)

    def is_mute(self, now: datetime) -> bool:
        """Whether it has run for long enough to say what it serves, and never did."""
        running = self.started is not None and now - self.started > MUTE_AFTER
        return self.status is None and running

    def may_answer_otherwise(self, content: Content, now: datetime) -> bool:
        """Whether it answers, or may, with anything but `content`: a draining pod does, until its grace is over."""
        if self.serves(content):
            return False
        return (self.gone_by is None or now < self.gone_by) if self.terminating else self.ready


@dataclass(frozen=True, slots=True)
class Deployment:
    """The Deployment, as far as a rollout depends on it.

    Attributes:
        refusal: Why no pod could be made for it, such as a quota; empty where one could.
    """

    name: str
    uid: str
    model: str
    resource_version: str
    generation: int
    observed_generation: int
    paused: bool
    desired: int
    replicas: int
    updated: int
    available: int
    template_target: str | None
    template_hash: str
    refusal: str

    @property
    def complete(self) -> bool:
        """Whether its controller has nothing left to do."""
        seen = self.observed_generation >= self.generation
        return seen and self.desired == self.updated == self.replicas == self.available


@dataclass(frozen=True, slots=True)
class Attempt:
    """How the last rollout to a ModelVersion ended."""

    key: str
    outcome: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One ModelVersion: what it asks for, and what its status says."""

    name: str
    uid: str
    generation: int
    deleting: bool
    model: str
    version: str
    path: str
    digest: str | None
    deployment: str | None
    strategy: str
    progress_deadline: int
    allow_schema_change: bool
    paused: bool
    withdrawn: bool
    retry: str
    attempt: Attempt | None
    live: bool

    @property
    def content(self) -> Content:
        """What it asks to be served."""
        return Content(version=self.version, path=self.path, digest=self.digest)


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that `plan` sees.

    Attributes:
        now: The API server's clock.
        deployment: The Deployment.
        siblings: Names of all Deployments of the namespace that serve the same model, this one included.
        state: The ConfigMap; None when there is none, or it belongs to an earlier Deployment of this name.
        pods: Its pods, terminating ones included.
        past_targets: The annotations of its ReplicaSets' templates.
        versions: The ModelVersions of its model.
    """

    now: datetime
    deployment: Deployment
    siblings: tuple[str, ...]
    state: State | None
    pods: tuple[Pod, ...]
    past_targets: tuple[str, ...]
    versions: tuple[ModelVersion, ...]

    def fault(self, content: Content) -> str:
        """Why the first of the pods that ought to serve `content` does not, and will not by itself; empty for none."""
        return next((text for is_fault, text in self._hold_ups(content) if is_fault), "")

    def hold_up(self, content: Content) -> str:
        """What is waited for before all pods serve `content`: a fault, else a pod that loads it or has no node."""
        return self.fault(content) or next((text for _, text in self._hold_ups(content)), "")

    def _hold_ups(self, content: Content) -> Iterator[tuple[bool, str]]:
        """Each pod that ought to serve `content` and does not, by name: whether that is a fault, and a sentence."""
        if self.deployment.refusal:
            yield True, self.deployment.refusal
        for pod in sorted(self.pods, key=lambda pod: pod.name):
            if pod.terminating or (pod.ready and pod.serves(content)):
                continue
            if pod.hindrance is not None:
                yield pod.placed, f"{pod.name}: {pod.hindrance}"
            elif pod.is_mute(self.now):
                yield True, f"{pod.name}: its container runs, but nobody answers for /status"
            elif pod.status is not None and pod.status.failure is not None:
                yield True, f"{pod.name}: {pod.status.failure.reason}: {pod.status.failure.message}"
            elif pod.status is not None and pod.status.loading:
                yield False, f"{pod.name} is loading it"

    @property
    def outgoing(self) -> tuple[Pod, ...]:
        """The pods that may still answer with something else than what is settled."""
        content = (self.state or State()).content
        return tuple(pod for pod in self.pods if pod.may_answer_otherwise(content, self.now))

    @property
    def serving(self) -> tuple[Pod, ...]:
        """The pods that get requests and are not leaving."""
        return tuple(pod for pod in self.pods if pod.ready and not pod.terminating)
