"""What the operator counts for Prometheus."""

from collections.abc import Mapping

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
        self._counted: dict[str, set[str]] = {}
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

    def ended(self, model: str, outcome: str, seconds: float) -> None:
        """A rollout ended: `succeeded`, `failed`, or `called off`."""
        self.rollouts.labels(model, outcome).inc()
        self.seconds.labels(model, outcome).observe(seconds)

    def count_pods(self, deployment: str, counts: Mapping[str, int]) -> None:
        """How many pods of a Deployment serve what; what none serves any more is gone."""
        for version in self._counted.get(deployment, set()) - counts.keys():
            self.pods.remove(deployment, version)
        for version, count in counts.items():
            self.pods.labels(deployment, version).set(count)
        self._counted[deployment] = set(counts)

    def forget(self, deployment: str) -> None:
        """A Deployment is gone."""
        self.unasked.remove(deployment)
        self.count_pods(deployment, {})
