"""What the operator counts for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


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
        self.api_errors = Counter(
            "modelroll_operator_api_errors", "Calls that failed; 0: no answer.", ("status",), registry=self.registry
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
