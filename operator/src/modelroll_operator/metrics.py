"""What the operator counts for Prometheus."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)  # a canary may take a day


class Metrics:
    """The counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.turns = Counter(
            "modelroll_operator_turns", "Times that a Deployment was looked at.", registry=self.registry
        )
        self.rollouts = Counter(
            "modelroll_rollouts", "Rollouts that ended.", ("model", "outcome"), registry=self.registry
        )
        self.seconds = Histogram(
            "modelroll_rollout_seconds",
            "From the beginning of a rollout to its end.",
            ("model", "outcome"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.pods = Gauge(
            "modelroll_pods",
            "Ready pods of a Deployment, by the version that they say they serve.",
            ("deployment", "model_version"),
            registry=self.registry,
        )
        self._pods = _Current(self.pods)
        self._conditions = _Current(
            Gauge(
                "modelroll_modelversion_condition",
                "1 while this condition of a ModelVersion is true: Reconciling, Degraded, Stalled, Conflict.",
                ("modelversion", "model", "model_version", "type", "reason"),
                registry=self.registry,
            )
        )
        self._under_way = _Current(
            Gauge(
                "modelroll_rollout_began_timestamp_seconds",
                "When the rollout that is under way began.",
                ("deployment", "model_version"),
                registry=self.registry,
            )
        )
        self.api_errors = Counter(
            "modelroll_operator_api_errors", "Calls that failed; 0: no answer.", ("status",), registry=self.registry
        )
        self.failures = Counter(
            "modelroll_operator_turn_failures",
            "Turns that failed as nobody foresaw; the log has the traceback.",
            registry=self.registry,
        )
        self.leader = Gauge(
            "modelroll_operator_leader", "1 while this process holds the Lease.", registry=self.registry
        )
        self.unasked = Gauge(
            "modelroll_operator_no_eligible_version",
            "1 while a Deployment serves what no eligible ModelVersion asks for.",
            ("deployment",),
            registry=self.registry,
        )

        self.spans = Counter(
            "modelroll_operator_trace_spans",
            "Spans by what became of them: sent, failed, dropped; none where traces are off.",
            ("outcome",),
            registry=self.registry,
        )

    def ended(self, model: str, outcome: str, seconds: float) -> None:
        """A rollout ended: `succeeded`, `failed`, or `called off`."""
        self.rollouts.labels(model, outcome).inc()
        self.seconds.labels(model, outcome).observe(seconds)

    def count_pods(self, deployment: str, counts: Mapping[str, int]) -> None:
        """How many pods of a Deployment serve what; what none serves any more is gone."""
        self._pods.replace(deployment, {(deployment, version): count for version, count in counts.items()})

    def conditions(self, deployment: str, found: Iterable[tuple[str, ...]]) -> None:
        """The conditions that are true of the ModelVersions of a Deployment; those of none have the name "".

        Args:
            deployment: Its name.
            found: Of each condition the ModelVersion's name, its model, its version, the type, the reason.
        """
        self._conditions.replace(deployment, dict.fromkeys(found, 1.0))

    def under_way(self, deployment: str, version: str | None, began: datetime | None) -> None:
        """The rollout of a Deployment: to which version (None: MODEL_PATH's), since when (None: there is none)."""
        self._under_way.replace(deployment, {} if began is None else {(deployment, version or ""): began.timestamp()})

    def forget(self, deployment: str) -> None:
        """A Deployment is gone."""
        self.unasked.remove(deployment)
        self.count_pods(deployment, {})
        self.conditions(deployment, ())
        self.under_way(deployment, None, None)


class _Current:
    """A gauge whose series are said anew by whoever they are of; what is not said any more is gone."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._said: dict[str, set[tuple[str, ...]]] = {}

    def replace(self, owner: str, series: Mapping[tuple[str, ...], float]) -> None:
        for labels in self._said.get(owner, set()) - series.keys():
            self._gauge.remove(*labels)
        for labels, value in series.items():
            self._gauge.labels(*labels).set(value)
        self._said[owner] = set(series)
