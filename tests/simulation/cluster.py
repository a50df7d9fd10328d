"""A Kubernetes of one Deployment: template, ReplicaSets, pods, ConfigMap and ModelVersions, each advancing by steps.

Owns what the API server holds and what its controllers do with it: maxSurge 1, maxUnavailable 0. What a person does to
it stands at the end. Knows nothing of plans.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from modelroll_operator import canary
from modelroll_operator import rollout as rollouts
from modelroll_operator.observed import ModelVersion, Observed, Pod
from modelroll_operator.target import Content
from simulation import values
from simulation.pod import SimulatedPod

WHEN = frozenset({"paused", "withdrawn"})  # of a spec, what says when and not what

CANARY = canary.Canary((canary.Stage(0, 5, 20), canary.Stage(50, 5, 20)), canary.Analysis())


@dataclass
class ReplicaSet:
    """Pods of one template."""

    target: str | None
    template_hash: str
    revision: int
    replicas: int = 0


class Cluster:
    """One Deployment and what belongs to it.

    Its ModelVersions roll by RollingUpdate, but those of `in_place`, two pods at once; of these, those of `canary_of`
    after a canary of two stages. Where it is `lagging`, pods hear late of the ConfigMap.

    Attributes:
        now: The API server's clock.
        data: The ConfigMap's; None when there is none.
        writes: Counts the writes to each object, as its resourceVersion does.
        target: The pod template's annotation.
        versions: The ModelVersions by name.
        pods: Those that are not gone.
        floor: How many Ready pods there must be at least: what was desired, less what somebody deleted. A controller
            that has seen fewer desired may carry that out until all is at rest again, whatever is desired meanwhile.
    """

    def __init__(
        self,
        replicas: int,
        failing: Mapping[str, str],
        *,
        in_place: Container[str] = (),
        canary_of: Container[str] = (),
        lagging: bool = False,
    ) -> None:
        self.now: datetime = values.NOW
        self.data: dict[str, str] | None = None
        self.writes: dict[str, int] = {"config": 0, "deployment": 0}
        self.target: str | None = None
        self.template_hash = "image 1"
        self.paused = False
        self.desired = replicas
        self.floor = 0
        self.versions: dict[str, ModelVersion] = {}
        self.pods: list[SimulatedPod] = []
        self.seen: dict[int, set[str | None]] = {}  # what each revision was ever read as
        self._failing = failing
        self._in_place = in_place
        self._canary = canary_of
        self._lagging = lagging
        self._sets: list[ReplicaSet] = []
        self._owners: dict[str, ReplicaSet] = {}
        self._generation = 1
        self._counts = (0, 0, 0, 0)  # observedGeneration, replicas, updated, available
        self._born = 0

    # --- what is read ---

    @property
    def active(self) -> list[SimulatedPod]:
        """The pods that are not leaving."""
        return [pod for pod in self.pods if pod.gone_by is None]

    @property
    def ready(self) -> int:
        """How many pods get requests."""
        return sum(pod.ready for pod in self.active)

    @property
    def state(self) -> rollouts.State:
        """What the ConfigMap says."""
        return (None if self.data is None else rollouts.read(self.data)) or rollouts.State()

    def answering(self) -> set[Content]:
        """What somebody may be answered by at this instant, draining pods included."""
        pods = [pod for pod in self.pods if pod.gone_by is None or self.now < pod.gone_by]
        return {content for pod in pods for content in pod.answers}

    def observe(self) -> Observed:
        """What the operator sees."""
        observed_generation, replicas, updated, available = self._counts
        return Observed(
            now=self.now,
            deployment=values.deployment(
                self.target,
                desired=self.desired,
                resource_version=str(self.writes["deployment"]),
                generation=self._generation,
                observed_generation=observed_generation,
                paused=self.paused,
                replicas=replicas,
                updated=updated,
                available=available,
                template_hash=self.template_hash,
                refusal="",
            ),
            siblings=("churn",),
            state=None if self.data is None else rollouts.read(self.data),
            pods=tuple(_seen(pod) for pod in self.pods),
            past_targets=tuple(one.target for one in self._sets if one.target is not None),
            versions=tuple(self.versions.values()),
        )

    # --- what advances by itself ---

    def step_pod(self, index: int) -> bool:
        """Let one pod go on; whether anything changed."""
        if not self.pods:
            return False
        pod = self.pods[index % len(self.pods)]
        changed = pod.step(None if self.data is None else self.data.get(rollouts.SETTLED), self._failing)
        for revision, contents in pod.seen.items():
            self.seen.setdefault(revision, set()).update(contents)
        if pod.gone:
            self.pods.remove(pod)
        return changed

    def step_controllers(self) -> bool:
        """Let the Deployment's and the ReplicaSets' controllers do one thing; whether anything changed."""
        self.floor = min(self.floor, self.desired)
        changed = self._step_pods_of_sets() or self._step_sets() or self._step_status()
        at_rest = len(self.active) == sum(one.replicas for one in self._sets)
        if at_rest and self.ready >= self.desired:  # else a pod may yet go that was chosen before something happened
            self.floor = self.desired
        return changed

    def _step_status(self) -> bool:
        current = self._current()
        updated = sum(self._owners[pod.name] is current for pod in self.active)
        counts = (self._generation, len(self.active), updated, self.ready)
        changed, self._counts = counts != self._counts, counts
        return changed

    def _step_pods_of_sets(self) -> bool:
        for one in self._sets:
            pods = [pod for pod in self.active if self._owners[pod.name] is one]
            if len(pods) < one.replicas:
                self._born += 1
                pod = SimulatedPod(f"pod-{self._born}", one.target, self.now, lagging=self._lagging)
                self._owners[pod.name] = one
                self.pods.append(pod)
                return True
            if len(pods) > one.replicas:
                min(pods, key=lambda pod: pod.ready).delete(self.now)
                return True
        return False

    def _step_sets(self) -> bool:
        current = self._current()
        if current is None and not self.paused:
            revision = max((one.revision for one in self._sets), default=0) + 1
            self._sets.append(ReplicaSet(self.target, self.template_hash, revision))
            return True
        if current is not None and not self.paused and current.revision < max(one.revision for one in self._sets):
            current.revision = max(one.revision for one in self._sets) + 1  # as an undo brings one back
            return True
        old = [one for one in self._sets if one is not current and one.replicas > 0]
        total = sum(one.replicas for one in self._sets)
        if self.paused or current is None:
            return self._scale_paused(current, old, total)
        if not old:
            changed, current.replicas = current.replicas != self.desired, self.desired
            return changed
        if current.replicas > self.desired:
            current.replicas = self.desired
            return True
        if current.replicas < self.desired and total < self.desired + 1:
            current.replicas += 1
            return True
        return self._scale_old(current, old, total)

    def _scale_old(self, current: ReplicaSet, old: list[ReplicaSet], total: int) -> bool:
        """First old pods that are not Ready go, then as many others as there are Ready ones too many."""
        new = [pod for pod in self.active if self._owners[pod.name] is current]
        if total - self.desired - (current.replicas - sum(pod.ready for pod in new)) <= 0:
            return False
        for one in old:
            pods = [pod for pod in self.active if self._owners[pod.name] is one]
            unready = len(pods) - sum(pod.ready for pod in pods)
            if unready or self.ready > self.desired:
                one.replicas -= 1
                return True
        return False

    def _scale_paused(self, current: ReplicaSet | None, old: list[ReplicaSet], total: int) -> bool:
        known = [*([] if current is None else [current]), *old]
        largest = max(known, key=lambda one: one.replicas, default=None)
        if largest is None or total == self.desired or (total == self.desired + 1 and len(known) > 1):
            return False
        largest.replicas = max(0, largest.replicas + (1 if total < self.desired else -1))
        return True

    def _current(self) -> ReplicaSet | None:
        mine = (self.target, self.template_hash)
        return next((one for one in self._sets if (one.target, one.template_hash) == mine), None)

    # --- what the operator and people do ---

    def set_template(self, target: str | None, template_hash: str | None = None) -> None:
        """Write the pod template."""
        wanted = (target, template_hash or self.template_hash)
        if wanted != (self.target, self.template_hash):
            self.target, self.template_hash = wanted
            self._changed()

    def undo(self) -> None:
        """`kubectl rollout undo`."""
        current = self._current()
        past = sorted((one for one in self._sets if one is not current), key=lambda one: one.revision)
        if past:
            self.set_template(past[-1].target, past[-1].template_hash)

    def pause(self, paused: bool) -> None:
        """`kubectl rollout pause` and `resume`."""
        self.paused = paused
        self._changed()

    def scale(self, replicas: int) -> None:
        """`kubectl scale`, or the autoscaler."""
        self.desired = replicas
        self._changed()

    def kill(self, index: int) -> None:
        """`kubectl delete pod`."""
        if self.active:
            self.active[index % len(self.active)].delete(self.now)
            self.floor -= 1

    def crash(self, index: int) -> None:
        """The container of a pod dies."""
        if self.active:
            self.active[index % len(self.active)].crash()

    def lose_config_map(self) -> None:
        """`kubectl delete configmap`."""
        self.data = None
        self.writes["config"] += 1

    def apply(self, version: str, **changes: Any) -> None:
        """`kubectl apply` of a ModelVersion: made, or changed."""
        old = self.versions.get(version)
        if old is None:
            uid = f"uid-{version}-{self._born}-{len(self.versions)}"
            strategy = "InPlace" if version in self._in_place else "RollingUpdate"
            wanted = CANARY if version in self._in_place and version in self._canary else None
            made = values.model_version(version, uid=uid, strategy=strategy, max_parallel=2, canary=wanted)
            self.versions[version] = replace(made, **changes)
        else:
            specs = replace(old, **changes)
            if specs != old:
                self.versions[version] = replace(specs, asks=old.asks + "'" * bool(changes.keys() - WHEN), live=False)

    def delete(self, version: str) -> None:
        """`kubectl delete mv`."""
        self.versions.pop(version, None)

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def _changed(self) -> None:
        self._generation += 1
        self.writes["deployment"] += 1


def _seen(pod: SimulatedPod) -> Pod:
    return Pod(
        name=pod.name,
        uid=pod.name,
        created=pod.created,
        ready=pod.ready,
        terminating=pod.gone_by is not None,
        gone_by=pod.gone_by,
        target=pod.target,
        move=pod.move,
        started=pod.created,
        placed=True,
        hindrance=None,
        status=pod.status(),
    )
