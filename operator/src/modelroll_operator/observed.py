"""One Deployment's surroundings at one moment, as values: the input of `plan`.

Owns the shapes; `observe` fills them from the API server and from the pods.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelroll_operator import target as targets
from modelroll_operator.canary import Canary, Numbers
from modelroll_operator.rollout import State
from modelroll_operator.target import Content, Target

# A pod that says one of these about a revision will not change its mind: waiting longer helps nobody.
FINAL_REASONS = frozenset(
    {
        "CandidateCrashed",
        "CandidateRefused",
        "CrashedWhileLoading",
        "DigestMismatch",
        "GoldenRowsDiffer",
        "LoadFailed",
        "LoadTimedOut",
        "ManifestInvalid",
        "ModelMismatch",
        "ModuleMissing",
        "NotEnoughMemory",
        "PathRefused",
        "PolicyRefused",
        "SchemaChanged",
        "SignatureInvalid",
        "SignatureMismatch",
        "SignatureMissing",
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
class Beside:
    """The candidate that a pod has beside what it serves.

    Attributes:
        content: What it is.
        revision: Of the move that asked for it last.
        numbers: How it has done since.
    """

    content: Content
    revision: int
    numbers: Numbers

    def is_of(self, content: Content) -> bool:
        """Whether it is `content`."""
        return _is_same(self.content, content)


def _is_same(found: Content, content: Content) -> bool:
    if content.env:
        return found.env
    same = (found.version, found.path) == (content.version, content.path)
    return same and content.digest in {None, found.digest}


@dataclass(frozen=True, slots=True)
class PodStatus:
    """What a pod says of itself on `/status`.

    Attributes:
        live: What answers; with `env`, what MODEL_PATH turned out to name.
        live_revision: The revision that it was asked for at; 0 for none.
        wanted_revision: The highest revision that it has seen.
        failure: Why it does not serve what it was asked for, if it does not.
        loading: Whether it is loading.
        candidate: What is beside it, if anything is.
    """

    live: Content | None
    live_revision: int
    wanted_revision: int | None
    failure: Failure | None
    loading: bool = False
    candidate: Beside | None = None

    def serves(self, content: Content) -> bool:
        """Whether what answers is `content`."""
        return self.live is not None and _is_same(self.live, content)


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

    @property
    def asked(self) -> Target | None:
        """What its own annotation asks for; None for nothing, or a revision that no server takes."""
        move = targets.decode(self.move)
        return None if move is None or move.revision > targets.HIGHEST_FOREIGN else move

    @property
    def told(self) -> int:
        """The revision that its own annotation asks for; 0 for none."""
        return 0 if self.asked is None else self.asked.revision

    def serves(self, content: Content) -> bool:
        """Whether it says that what answers is `content`."""
        return self.status is not None and self.status.serves(content)

    def has_arrived(self, content: Content, revision: int) -> bool:
        """Whether it says that `content` answers, at that revision or above."""
        return self.status is not None and self.status.serves(content) and self.status.live_revision >= revision

    @property
    def has_heard(self) -> bool:
        """Whether it says that it has read what it was asked for: before that it may be about to do something else."""
        return self.told == 0 or (self.status is not None and (self.status.wanted_revision or 0) >= self.told)

    def is_mute(self, now: datetime) -> bool:
        """Whether it has run for long enough to say what it serves, and never did."""
        running = self.started is not None and now - self.started > MUTE_AFTER
        return self.status is None and running

    def may_answer_otherwise(self, content: Content, now: datetime) -> bool:
        """Whether it answers, or soon may, with anything but `content`: a draining pod does until its grace is over."""
        if self.serves(content) and (self.terminating or self.has_heard):
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
    """One ModelVersion: what it asks for, and what its status says.

    Attributes:
        asks: What stands for all that its spec asks for, but for `paused` and `withdrawn`: these say when, not what.
    """

    name: str
    uid: str
    asks: str
    deleting: bool
    model: str
    version: str
    path: str
    digest: str | None
    deployment: str | None
    strategy: str
    progress_deadline: int
    max_parallel: int
    canary: Canary | None
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
        untold: Uids of those whose status the API server refused when it was written last.
    """

    now: datetime
    deployment: Deployment
    siblings: tuple[str, ...]
    state: State | None
    pods: tuple[Pod, ...]
    past_targets: tuple[str, ...]
    versions: tuple[ModelVersion, ...]
    untold: frozenset[str] = frozenset()

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
            elif not pod.has_heard:
                yield False, f"{pod.name} has not said yet that it has heard of it"

    @property
    def outgoing(self) -> tuple[Pod, ...]:
        """The pods that may still answer with something else than what is settled."""
        content = (self.state or State()).content
        return tuple(pod for pod in self.pods if pod.may_answer_otherwise(content, self.now))

    @property
    def serving(self) -> tuple[Pod, ...]:
        """The pods that get requests and are not leaving."""
        return tuple(pod for pod in self.pods if pod.ready and not pod.terminating)
